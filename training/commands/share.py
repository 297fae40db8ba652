"""`python -m training share`: write a model as a folder for others, or upload it to a hub."""

import dataclasses
import json
import re
from pathlib import Path
from typing import Annotated

import tyro

from keras_mixer.weights.catalog import HUB_PREFIX
from training.backend import require_backend
from training.cli.model_options import (
    Activation,
    ClassNames,
    EvaluationTransform,
    ModelText,
    read_model_options,
)
from training.cli.terminal import JsonFlag, print_table
from training.errors import UserError
from training.model_argument import RunModel

LICENSE = re.compile("[a-z0-9][a-z0-9.-]*")
Target = Annotated[str, tyro.conf.arg(metavar="FOLDER|hf://USER/REPO")]
License = Annotated[str, tyro.conf.arg(metavar="ID")]


def run(
    model: ModelText,
    to: Target,
    private: bool = False,
    license: License = "",
    evaluation_transform: EvaluationTransform = "",
    activation: Activation = "",
    class_names: ClassNames = "",
    as_json: JsonFlag = False,
):
    """Write a model as a folder for others, or upload it to the Hugging Face Hub.

    The folder has the weights as model.safetensors with timm's names, config.json,
    class_names.json, and a model card, README.md, with the data, the recipe and the results of the
    run. The result is loaded and compared with the model before it is put in place or uploaded. The
    command `predict hf://USER/REPO photo.jpg` uses it, and so does weights="hf://USER/REPO" in
    Python.

    Args:
        model: Model to share: a run (RUN, RUN@best, RUN@step-1200), a file FILE.keras, a shared
            model, or a constructor and its weights (MixerB16:imagenet1k). It must be a plain Mixer
            with a head.
        to: Folder, which is new, empty, or that of a shared model to be replaced; or a repository
            on the Hugging Face Hub, which is created unless it exists. Log in with `hf auth login`
            or set HF_TOKEN.
        private: Create a private repository.
        license: License of the weights as the Hub spells it, such as apache-2.0 or cc-by-4.0.
            Defaults to that of published weights if they are unchanged, or else to unknown.
        evaluation_transform: How images are resized and cropped; see keras_mixer.preprocessing.
            Defaults to the transform of the run, or of the published weights; else resmall-crop.
        activation: How logits become probabilities. Defaults to the loss of the run, or to the
            last activation of the file; else softmax.
        class_names: File with the names of the classes, one on each line or as a JSON list.
            Defaults to the names that the run knows, or to the WordNet IDs of published weights.
        as_json: Print JSON instead of a table.
    """
    argument, names = read_model_options(model, class_names)
    target = _read_target(to, private)
    if license and not LICENSE.fullmatch(license):
        raise UserError(
            "--license must be an identifier of the Hugging Face Hub, in lower case. "
            f"Received: {license}. Pass apache-2.0, mit or cc-by-4.0, for example."
        )
    _require_plain(argument)

    require_backend()
    from training.sharing.upload import require_login, share_to_hub
    from training.sharing.writing import require_shareable_folder, share_to_folder

    if isinstance(target, Path):
        require_shareable_folder(target)
    else:
        require_login(target)
    loaded = _load(argument, activation, names, evaluation_transform)
    if isinstance(target, Path):
        share_to_folder(target, argument, loaded, license)
        results = {"folder": str(target), "use": f"python -m training predict {target} IMAGE"}
    else:
        url = share_to_hub(target, argument, loaded, license, private)
        results = {"commit": url, "use": f"python -m training predict {target} IMAGE"}
    print(json.dumps(results, indent=2)) if as_json else print_table(results)


def _read_target(text, private):
    """Return the path of the folder, or the `Repository`, of `--to`."""
    if text.startswith(HUB_PREFIX):
        from training.sharing.shared_model import read_repository

        return read_repository(text, "--to")
    if not text or ":" in text.partition("/")[0]:
        raise UserError(
            f"--to must be a folder or hf://USER/REPO. Received: {text or 'nothing'}. Pass a path."
        )
    if private:
        raise UserError(
            f"--private must be left out with a folder. Received: --to {text}. Drop --private, or "
            "pass --to hf://USER/REPO."
        )
    return Path(text)


def _require_plain(argument):
    if isinstance(argument, RunModel):
        model = argument.folder.read_config().model
        if not model.is_plain:
            raise UserError(
                "MODEL must be a plain Mixer to be shared. Received: "
                f"{argument.text}, of a run with --architecture {model.architecture} "
                f"--input-permutation {model.input_permutation}. Share a run without them."
            )


def _load(argument, activation, names, evaluation_transform):
    """Return the `LoadedModel` with the names of its classes and the chosen transform."""
    from training.model_argument import load_model, published_classes

    loaded = load_model(argument, activation, names)
    if loaded.class_names is None and loaded.published:
        try:
            loaded = dataclasses.replace(loaded, class_names=published_classes(loaded.classes)[0])
        except OSError as error:
            raise UserError(
                "--class-names must be given unless the names of the classes can be downloaded. "
                f"Received: nothing: {error}"
            ) from error
    if loaded.class_names is None:
        raise UserError(
            f"--class-names must be given for {argument.text}, which does not name its "
            f"{loaded.classes} classes. Received: nothing. Pass a file with one name on each line."
        )
    transform = evaluation_transform or loaded.evaluation_transform
    return dataclasses.replace(loaded, evaluation_transform=transform)
