"""`python -m training predict`: classify image files."""

import contextlib
import sys
from pathlib import Path
from typing import Annotated, Literal

import tyro
from tqdm import tqdm

from keras_mixer.terminal import printable
from training.backend import require_backend
from training.cli.class_choice import names_to_show
from training.cli.image_paths import Images, find_image_files, refuse_faults
from training.cli.memory_return import return_large_blocks
from training.cli.model_options import (
    Activation,
    ClassNames,
    EvaluationTransform,
    ModelText,
    read_model_options,
)
from training.cli.prediction_writers import WRITERS
from training.cli.terminal import JsonFlag
from training.data.image_suffixes import SUFFIXES
from training.errors import UserError, out_of_memory_as_user_error
from training.evaluation.output_file import replacing_file, require_output_file
from training.validation import LARGEST_INTEGER, refuse_unless

Format = Annotated[
    Literal["", "table", "json", "jsonl", "csv"],
    tyro.conf.arg(name="format"),
]
OutputFile = Annotated[str, tyro.conf.arg(metavar="FILE")]


def run(
    model: ModelText,
    images: Images,
    top: int = 3,
    batch_size: int = 32,
    on_bad_image: Literal["error", "skip"] = "error",
    as_format: Format = "",
    output: OutputFile = "",
    features: OutputFile = "",
    evaluation_transform: EvaluationTransform = "",
    activation: Activation = "",
    class_names: ClassNames = "",
    trust_model: bool = False,
    as_json: JsonFlag = False,
):
    """Print the most likely classes of image files.

    The command `predict MixerB16:imagenet1k photo.jpg` classifies a photo with published weights,
    and `predict MixerB16:imagenet1k photos --output photos.csv` a folder. Images are read while
    the model computes, a few batches at a time, so their number is not limited by memory.

    Args:
        model: Model to use: a run (RUN, RUN@best, RUN@step-1200), a file FILE.keras, a
            shared model (hf://USER/REPO or its folder), or a constructor and its weights
            (MixerB16:imagenet1k, MixerB16:FILE.npz). An unfinished run is used with its
            newest checkpoint.
        images: Image files, such as PNG and JPEG; folders, with their subfolders; patterns in
            quotes, such as 'photos/**/*.jpg'; or -, for a list of files and folders on standard
            input.
        top: Number of classes to print for each image.
        batch_size: Largest number of images per batch. With fewer images, the batch is smaller.
        on_bad_image: Whether unreadable image files are an error, reported after the results of
            the others, or are skipped with a warning.
        as_format: Format of the results: a table; one JSON list; one JSON object per line (jsonl);
            or one CSV row for each image and class. Defaults to the suffix of --output, or to a
            table.
        output: File for the results, which is replaced when it is complete. Defaults to standard
            output.
        features: File FILE.npy for the features of the images, the input of the head, one row for
            each image. FILE.json gets the names of the images.
        evaluation_transform: How images are resized and cropped; see keras_mixer.preprocessing.
            Defaults to the transform of the run, or of the published weights; else resmall-crop.
        activation: How logits become probabilities. Defaults to the loss of the run, or to the
            last activation of the file; else softmax.
        class_names: File with the names of the model's classes, one on each line or as a JSON
            list, such as class_names.json of a run. Defaults to the names that the run knows, or
            those of the published weights; else classes are numbered.
        trust_model: Load a .keras file that has more than a Mixer and layers of Keras that only
            compute, such as a Lambda layer. What such a file names is executed with your rights.
        as_json: Print JSON instead of a table, as with --format json.
    """
    if not images:
        raise UserError(
            "IMAGE... must be one or more image files, folders or patterns. Received: none. Pass a "
            "path."
        )
    if top < 1:
        raise UserError(f"--top must be at least 1. Received: {top}. Pass 1 for the best class.")
    refuse_unless(
        1 <= batch_size <= LARGEST_INTEGER,
        "batch_size",
        f"must be at least 1 and at most {LARGEST_INTEGER}",
        batch_size,
        "Pass 32.",
    )
    form = _choose_format(as_format, as_json, output)
    argument, names = read_model_options(model, class_names)
    _require_files(output, features)
    paths = find_image_files(images)

    return_large_blocks()
    require_backend()
    from training.evaluation.prediction import name_classes, predict_images, with_features
    from training.model_argument import load_model

    loaded = load_model(argument, activation, names, trust_model)
    network = with_features(loaded.model) if features else loaded.model
    class_names = names_to_show(loaded)
    transform = evaluation_transform or loaded.evaluation_transform
    batches = predict_images(network, paths, transform, batch_size)
    faults = []
    with (
        out_of_memory_as_user_error(f"--batch-size {batch_size}", "Pass a smaller --batch-size."),
        _open_output(output) as file,
        _open_features(features, network) as append_features,
        contextlib.closing(batches),
    ):
        writer = WRITERS[form](file)
        with tqdm(desc="predicting", total=len(paths), unit="image", disable=None) as progress:
            for outputs in batches:
                predictions = name_classes(outputs, class_names, top, loaded.activation)
                with tqdm.external_write_mode(file):  # without the bar in the same line
                    writer.write(predictions)
                    file.flush()
                append_features([p.image for p in predictions], outputs.features)
                faults += outputs.faults
                progress.update(len(predictions) + len(outputs.faults))
        writer.close()
    _report_faults(faults, len(paths), on_bad_image)


def _choose_format(form, as_json, output):
    """Return the format of the results."""
    if as_json and form not in ("", "json"):
        raise UserError(
            f"--json must not be combined with another --format. Received: --format {form}. Drop "
            "one of the two."
        )
    if form or as_json:
        return form or "json"
    suffix = Path(output).suffix.lower().removeprefix(".")
    return suffix if suffix in WRITERS else "table"


def _require_files(output, features):
    """Raise UserError unless the files for the results can be written, each to its own path."""
    if features:
        from training.evaluation.feature_file import SUFFIX, names_beside

        path = Path(features)
        refuse_unless(
            path.suffix == SUFFIX,
            "features",
            f"must be a file that ends in {SUFFIX}",
            features,
            f"Pass {path.with_suffix(SUFFIX) if path.name else 'features.npy'}.",
        )
        names = names_beside(path)
        refuse_unless(
            path.exists() or not names.exists(),
            "features",
            f"must not replace {names}, which no earlier --features wrote",
            features,
            "Choose another name.",
        )
        refuse_unless(
            not output or Path(output).resolve() not in (path.resolve(), names.resolve()),
            "output",
            f"must not be a file that --features writes, {path} or {names}",
            output,
            "Choose another path.",
        )
        require_output_file(path, "--features")
        require_output_file(names, "--features")
    if output:
        refuse_unless(  # a pattern after it, which the shell expands, would overwrite an image
            Path(output).suffix.lower() not in SUFFIXES,
            "output",
            f"must not end in {', '.join(SUFFIXES)}, as images do",
            output,
            "Pass results.csv, for example.",
        )
        require_output_file(Path(output), "--output")


def _open_output(output):
    return replacing_file(Path(output)) if output else contextlib.nullcontext(sys.stdout)


def _open_features(features, network):
    """Return the context of a function that appends names and features, or does nothing."""
    if not features:
        return contextlib.nullcontext(lambda images, rows: None)
    from training.evaluation.feature_file import feature_file

    return feature_file(Path(features), network.outputs[0].shape[-1])


def _report_faults(faults, number, on_bad_image):
    """Raise UserError if files could not be decoded, or print how many were skipped."""
    if not faults:
        return
    if on_bad_image == "skip":
        print(
            f"warning: {len(faults)} of {number} image files were skipped, since they cannot be "
            f"decoded; the first is {printable(faults[0]).rstrip('.')}.",
            file=sys.stderr,
        )
        return
    refuse_faults(faults, number, "leave them out with --on-bad-image skip")
