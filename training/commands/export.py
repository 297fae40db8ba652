"""`python -m training export`: write a model for another runtime, and compare it there."""

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro
from rich.table import Table
from rich.text import Text

from keras_mixer.terminal import printable
from training.backend import require_backend
from training.cli.class_choice import with_published_names
from training.cli.model_data import (
    choose_data,
    require_same_inputs,
    results_dir,
)
from training.cli.model_options import (
    Activation,
    ClassNames,
    EvaluationTransform,
    ModelText,
    read_model_options,
)
from training.cli.quantized_export import export_and_report
from training.cli.terminal import JsonFlag, print_rich, print_table
from training.errors import UserError
from training.export.calibration import NUMBER
from training.export.formats import FORMATS, require_formats
from training.export.quantization import KERAS, MODES, find_quantization
from training.validation import require_output_dir

if TYPE_CHECKING:
    FormatName = str
    Mode = str
else:
    FormatName = Literal[*FORMATS, KERAS]
    Mode = Literal["", *MODES]
Formats = Annotated[tuple[FormatName, ...], tyro.conf.arg(metavar="FORMAT...")]
ImageFiles = Annotated[tuple[Path, ...], tyro.conf.arg(metavar="IMAGE...")]
MOST_IMAGES = 10_000  # all of them, and their logits, are in memory
PHOTOS = "crops of scikit-learn's photographs"


def run(
    model: ModelText,
    to: Formats,
    images: ImageFiles = (),
    source: str = "",
    test_split: str = "",
    data_dir: str = "",
    num_images: int = 32,
    quantize: Mode = "",
    calibration_images: int = NUMBER,
    calibration_method: Literal["minmax", "percentile", "entropy"] = "minmax",
    evaluation_transform: EvaluationTransform = "",
    activation: Activation = "",
    class_names: ClassNames = "",
    output_dir: str = "",
    name: str = "model",
    trust_model: bool = False,
    as_json: JsonFlag = False,
):
    """Write a model for another runtime, and compare it there with the Keras model.

    The command `export MixerB16:imagenet1k --to onnx` writes an ONNX file that takes pixels and
    returns logits and probabilities. Class names, input size and evaluation transform are stored in
    the file and in a JSON file beside it. If the exported model computes something else, the export
    fails and leaves no file.

    Args:
        model: Model to export: a run (RUN, RUN@best, RUN@step-1200), a file FILE.keras, a
            shared model (hf://USER/REPO or its folder), or a constructor and its weights
            (MixerB16:imagenet1k, MixerB16:FILE.npz). An unfinished run is exported with its
            newest checkpoint.
        to: One or more formats: saved_model (TensorFlow), litert (phones), onnx (ONNX Runtime and
            others), openvino (Intel), torch (.pt2). If the running backend cannot write one,
            another one that is installed does. With --quantize also keras, a .keras file.
        images: Image files to compare on, instead of a dataset.
        source: Dataset to compare on, its test split; see `train --help`. Defaults to the dataset
            of the run; for another model, to crops of two photographs that come with scikit-learn.
        test_split: Split of a tfds dataset. Defaults to the test split of the dataset.
        data_dir: Folder of TensorFlow Datasets. Defaults to the one that TensorFlow Datasets uses.
        num_images: Number of images to compare on, from the whole test split.
        quantize: Quantize the weights, and with int8 and int8-dynamic the matrix multiplications,
            too. Accuracy, size and speed before and after are measured on the test split. onnx has
            int8, int8-dynamic and int4; litert int8 and int8-dynamic; openvino int8; keras int8,
            int8-weights, int4, float8, gptq and awq.
        calibration_images: Number of training images from which a quantizer learns the ranges of
            the activations.
        calibration_method: How int8 in onnx and openvino chooses ranges: minmax, percentile
            (without outliers), or entropy (smallest KL divergence).
        evaluation_transform: How images are resized and cropped; see keras_mixer.preprocessing.
            Defaults to the transform of the run, or of the published weights; else resmall-crop.
        activation: How logits become probabilities. Defaults to the loss of the run, or to the
            last activation of the file; else softmax.
        class_names: File with the names of the model's classes, one on each line or as a JSON
            list, such as class_names.json of a run. Defaults to the names that the run knows, or
            those of the published weights; else none are stored.
        output_dir: Folder for the exported files, which are replaced. Defaults to RUN/export, or to
            exports/NAME for a model without a run.
        name: Name of the files, without suffix.
        trust_model: Load a .keras file that has more than a Mixer and layers of Keras that only
            compute, such as a Lambda layer. What such a file names is executed with your rights.
        as_json: Print JSON instead of a table.
    """
    _check_formats(to, quantize)
    _check(name, num_images, images, source, quantize)
    argument, names = read_model_options(model, class_names)
    data = None
    if quantize or (not images and (source or argument.data)):
        data = choose_data(
            argument,
            source,
            {"validation_fraction": 0.0} | ({} if quantize else {"test_fraction": 1.0}),
            data_dir,
            test_split=test_split,
        )
    output = results_dir(argument, output_dir, "export")

    require_backend()
    from training.export.exporter import export_formats
    from training.export.quantized import suffix_of
    from training.model_argument import load_model

    loaded = load_model(argument, activation, names, trust_model)
    if evaluation_transform:
        loaded = dataclasses.replace(loaded, evaluation_transform=evaluation_transform)
    require_output_dir(output)
    if quantize:
        paths = {f: output / f"{name}-{quantize}{suffix_of(f)}" for f in to}
        options = num_images, calibration_images, calibration_method
        export_and_report(loaded, argument.text, paths, quantize, data, options, as_json)
        return
    pixels, what = _read_images(loaded, images, data, num_images)
    if not as_json:
        print(
            f"Writing {', '.join(to)}, and comparing on {len(pixels)} images: {what}.", flush=True
        )
    targets = {format: output / f"{name}{FORMATS[format].suffix}" for format in to}
    exports = export_formats(with_published_names(loaded), targets, pixels, argument.text)
    _report(exports, what, output / f"{name}.json", as_json)


def _check_formats(to, quantize):
    if quantize:
        for format in to:
            find_quantization(format, quantize)
        if to == (KERAS,):
            return
        to = [format for format in to if format != KERAS]
    elif KERAS in to:
        raise UserError(
            "--to keras must come with --quantize, since `train` writes .keras files itself. "
            "Received: no --quantize. Pass --quantize int8-weights, or another format."
        )
    require_formats(to)


def _check(name, num_images, images, source, quantize):
    if not name or Path(name).name != name or name.startswith("."):
        raise UserError(
            f"--name must be a file name without a folder. Received: {name or 'nothing'}. Pass a "
            "name such as model, and the folder as --output-dir."
        )
    if not 0 < num_images <= MOST_IMAGES:
        raise UserError(
            f"--num-images must be at least 1 and at most {MOST_IMAGES}. Received: {num_images}. "
            "Pass 32."
        )
    if images and quantize:
        raise UserError(
            "--images must be left out with --quantize, which measures the accuracy on a test "
            f"split. Received: {images[0]}. Pass --source DATASET instead."
        )
    if images and source:
        raise UserError(
            f"--images must be left out with --source. Received: both, {images[0]} and {source}. "
            "Pass one of them."
        )


def _read_images(loaded, paths, data, number):
    """Return the pixels to compare on, and what they are."""
    from training.export.images import crop_photos, read_files, read_test_split

    shape, transform = loaded.model.input_shape[1:], loaded.evaluation_transform
    if paths:
        return read_files(paths, transform, shape), "image files"
    if data is None:
        return crop_photos(number, transform, shape), PHOTOS
    from training.data.sources import load_source, test_only

    source = load_source(test_only(data))
    source.require("test", data)
    require_same_inputs(source, loaded)
    data = dataclasses.replace(data, image_size=shape[0], evaluation_transform=transform)
    return read_test_split(source, data, number), f"the test split of {data.source}"


def _report(exports, what, metadata, as_json):
    """Print the results."""
    if as_json:
        rows = [
            {
                "format": export.format,
                "path": str(export.path),
                "bytes": export.num_bytes,
                "written_on": export.backend,
                **dataclasses.asdict(export.comparison),
            }
            for export in exports
        ]
        entries = {"compared_on": what, "metadata": str(metadata), "exports": rows}
        print(json.dumps(entries, indent=2))
        return
    table = Table("format", "file", "MB", "difference", "top-1", "ms", "Keras, ms")
    for export in exports:
        compared = export.comparison
        table.add_row(
            export.format,
            Text(printable(export.path.name), overflow="fold"),
            f"{export.num_bytes / 1e6:.2f}",
            f"{compared.difference:.1e}",
            f"{compared.agreement:.0%}",
            f"{compared.milliseconds:.2f}",
            f"{compared.keras_milliseconds:.2f}",
        )
    print_rich(table)
    print(
        "Difference: the largest one of a logit, divided by the largest logit. Top-1: share of "
        "images with the same class. ms: for one image."
    )
    print_table({"folder": metadata.parent, "metadata": metadata})
