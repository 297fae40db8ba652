"""`python -m training explain`: show which patches of an image decided its class."""

import contextlib
import json
from typing import Annotated, Literal

import tyro
from rich.table import Table
from rich.text import Text
from tqdm import tqdm

from keras_mixer.terminal import printable
from training.backend import require_backend
from training.cli.class_choice import find_class, names_to_show
from training.cli.image_paths import Images, find_image_files, refuse_faults
from training.cli.model_data import results_dir
from training.cli.model_options import (
    Activation,
    ClassNames,
    EvaluationTransform,
    ModelText,
    read_model_options,
)
from training.cli.terminal import JsonFlag, print_rich, print_table
from training.errors import UserError, out_of_memory_as_user_error
from training.evaluation.output_file import replacing_file
from training.run.json_file import write_json
from training.validation import LARGEST_INTEGER, not_writable, refuse_unless, require_output_dir

RESULTS = "explanations.json"
IMAGES_AHEAD = 4  # that are decoded while another one is explained
Methods = tuple[Literal["integrated-gradients", "occlusion", "grad-cam"], ...]
ClassText = Annotated[str, tyro.conf.arg(name="class", metavar="NAME_OR_NUMBER")]


def run(
    model: ModelText,
    images: Images,
    methods: Methods = ("integrated-gradients", "occlusion"),
    as_class: ClassText = "",
    layer: str = "",
    batch_size: int = 32,
    evaluation_transform: EvaluationTransform = "",
    activation: Activation = "",
    class_names: ClassNames = "",
    output_dir: str = "",
    trust_model: bool = False,
    as_json: JsonFlag = False,
):
    """Show which patches of image files decided their class, as figures and as numbers.

    The command `explain MixerB16:imagenet1k photo.jpg` explains the class that published weights
    predict. Each figure shows the image as the model sees it, and the maps over it.

    Args:
        model: Model to use: a run (RUN, RUN@best, RUN@step-1200), a file FILE.keras, a
            shared model (hf://USER/REPO or its folder), or a constructor and its weights
            (MixerB16:imagenet1k, MixerB16:FILE.npz). An unfinished run is used with its newest
            checkpoint.
        images: Image files, such as PNG and JPEG; folders, with their subfolders; patterns in
            quotes, such as 'photos/**/*.jpg'; or -, for a list of files and folders on standard
            input.
        methods: Attribution methods. integrated-gradients: contributions to the logit, from a gray
            baseline to the image. occlusion: drop of the logit without the patch, one prediction
            for each patch. grad-cam: what the head reads from the token of the patch, which need
            not be where the cause is.
        as_class: Class to explain: its name, or its number from 0. Defaults to the predicted
            class of each image.
        layer: Layer whose tokens grad-cam explains: stem, MixerBlock_0 and so on. Defaults to the
            last normalization, pre_head_layer_norm.
        batch_size: Number of occluded images in a batch.
        evaluation_transform: How images are resized and cropped; see keras_mixer.preprocessing.
            Defaults to the transform of the run, or of the published weights; else resmall-crop.
        activation: How logits become probabilities. Defaults to the loss of the run, or to the
            last activation of the file; else softmax.
        class_names: File with the names of the model's classes, one on each line or as a JSON
            list, such as class_names.json of a run. Defaults to the names that the run knows, or
            those of the published weights; else classes are numbered.
        output_dir: Folder for a PNG of each image and explanations.json, with the maps as numbers.
            Files of the same names are replaced. Defaults to RUN/explanation, or to
            explanations/NAME for a model without a run.
        trust_model: Load a .keras file that has more than a Mixer and layers of Keras that only
            compute, such as a Lambda layer. What such a file names is executed with your rights.
        as_json: Print the contents of explanations.json instead of a table.
    """
    if not images:
        raise UserError("IMAGE... must be one or more image files. Received: none. Pass a path.")
    refuse_unless(
        0 < batch_size <= LARGEST_INTEGER,
        "batch_size",
        f"must be at least 1 and at most {LARGEST_INTEGER}",
        batch_size,
        "Pass 32.",
    )
    refuse_unless(
        0 < len(methods) == len({*methods}),
        "methods",
        "must name one or more methods, each once",
        " ".join(methods) or "none",
        "Pass integrated-gradients occlusion.",
    )
    refuse_unless(
        not layer or "grad-cam" in methods,
        "layer",
        "chooses the tokens of grad-cam",
        f"{layer}, with --methods {' '.join(methods)}",
        "Leave it out, or pass --methods grad-cam.",
    )
    argument, names = read_model_options(model, class_names)
    output = results_dir(argument, output_dir, "explanation")
    paths = find_image_files(images)

    require_backend()
    from training.evaluation.explanation import GRAD_CAM, LAST_TOKENS, explain_image
    from training.evaluation.prepared_images import prepared_images
    from training.model_argument import load_model

    loaded = load_model(argument, activation, names, trust_model)
    layer = layer or LAST_TOKENS
    _require_tokens(loaded.model, methods, layer)
    names = names_to_show(loaded)
    chosen = find_class(as_class, names) if as_class else None
    require_output_dir(output)
    transform = evaluation_transform or loaded.evaluation_transform
    prepared = prepared_images(paths, transform, loaded.model.input_shape[1:], IMAGES_AHEAD)
    entries, faults = [], []
    with (
        out_of_memory_as_user_error(f"--batch-size {batch_size}", "Pass a smaller --batch-size."),
        contextlib.closing(prepared),
    ):
        progress = tqdm(
            prepared, "explaining", len(paths), unit="image", disable=True if as_json else None
        )
        for image, figure in zip(progress, name_figures(paths), strict=True):
            if image.fault:  # the others are explained all the same
                faults.append(f"{image.path}: {image.fault}")
                continue
            explained = explain_image(loaded, image.pixels, chosen, methods, layer, batch_size)
            class_name = names[explained.class_index]
            _draw(explained, image, class_name, layer, output / figure)
            entries.append(_entry(explained, str(image.path), class_name, figure))
    if entries:
        header = {"model": model, "evaluation_transform": transform}
        header |= {"layer": layer} if GRAD_CAM in methods else {}
        _report({**header, "explanations": entries}, output, as_json)
    refuse_faults(faults, len(paths), "leave them out")


def _require_tokens(model, methods, layer):
    """Raise UserError unless the model has a Mixer, and the layer tokens of the image's patches."""
    from keras_mixer.explain import token_layers
    from training.evaluation.explanation import GRAD_CAM, OCCLUSION
    from training.studies.models.permutation import PixelPermutation

    try:
        layers = token_layers(model)
    except ValueError as error:
        raise UserError(
            "MODEL must be a Mixer, or have one inside, whose patches can be explained. Received: "
            f"{model.name}, which has no layers stem and pre_head_layer_norm. Pass another model."
        ) from error
    refuse_unless(
        GRAD_CAM not in methods or layer in layers,
        "layer",
        f"must be a layer that returns one token for each patch: {', '.join(layers)}",
        layer,
        f"Pass --layer {layers[0]}, or other --methods.",
    )
    refuse_unless(
        [*methods] == [OCCLUSION] or not any(isinstance(x, PixelPermutation) for x in model.layers),
        "methods",
        "must be occlusion for a model that permutes the pixels, whose tokens are of other patches",
        " ".join(methods),
        "Pass --methods occlusion.",
    )


def name_figures(paths):
    """Return a name of a PNG file for each path, all different, also where case is ignored."""
    taken, names = set(), []
    for path in paths:
        name, number = path.stem, 1
        while name.casefold() in taken:
            number += 1
            name = f"{path.stem}_{number}"
        taken.add(name.casefold())
        names.append(f"{name}.png")
    return names


def _draw(explained, image, class_name, layer, path):
    """Replace the figure of an image."""
    from training.evaluation.explanation_figure import draw_explanation

    try:
        with replacing_file(path, "wb") as file:
            draw_explanation(explained, image.pixels, str(image.path), class_name, layer, file)
    except OSError as error:
        raise not_writable(path.parent, error) from error


def _entry(explained, image, class_name, figure):
    """Return what explanations.json says of an image."""
    return {
        "image": image,
        "figure": figure,
        "class": class_name,
        "class_index": explained.class_index,
        "probability": explained.probability,
        "is_predicted": explained.is_predicted,
        "peaks": {method: explained.peak(method) for method in explained.maps},
        "maps": {
            method: [[float(f"{value:.6g}") for value in row] for row in values]
            for method, values in explained.maps.items()
        },
    }


def _report(results, output, as_json):
    """Write explanations.json, and print the results."""
    try:
        write_json(output / RESULTS, results)
    except OSError as error:
        raise not_writable(output, error) from error
    if as_json:
        print(json.dumps(results, indent=2))
        return
    methods = results["explanations"][0]["peaks"]
    title = "hottest patch: row, column"
    table = Table("image", "class", "probability", *methods, "figure", title=title)
    for entry in results["explanations"]:
        table.add_row(
            Text(printable(entry["image"]), overflow="fold"),
            Text(printable(entry["class"])),
            f"{entry['probability']:.4f}",
            *(f"{row}, {column}" for row, column in entry["peaks"].values()),
            Text(printable(entry["figure"]), overflow="fold"),
        )
    print_rich(table)
    print_table({"results": output / RESULTS})
