"""Options of the commands that classify by the frozen features of a model, and these features."""

import dataclasses
from pathlib import Path
from typing import Any, Literal

from training.backend import require_backend
from training.cli.model_data import choose_data, require_same_inputs, results_dir
from training.cli.model_options import EvaluationTransform, ModelText, read_model_options
from training.cli.terminal import JsonFlag
from training.config import Data, Hardware
from training.errors import UserError, out_of_memory_as_user_error
from training.validation import require_output_dir


@dataclasses.dataclass(frozen=True)
class ProbeOptions:
    model: ModelText
    """Model to use: a run (RUN, RUN@best, RUN@step-1200), a file FILE.keras, or a constructor and
    its weights (MixerB16:imagenet21k, MixerB16:FILE.npz). Its head is not used."""

    source: str = ""
    """Dataset with a training and a test split, of any classes; see `train --help`. Defaults to the
    dataset of the run."""

    train_split: str = ""
    """Split of a tfds dataset to fit the probe to. Defaults to its training split."""

    test_split: str = ""
    """Split of a tfds dataset to test the probe on. Defaults to its test split."""

    data_dir: str = ""
    """Folder of TensorFlow Datasets. Defaults to the one that TensorFlow Datasets uses."""

    batch_size: int = 0
    """Images per batch. 0 uses that of the run, or 64."""

    evaluation_transform: EvaluationTransform = ""
    """How images are resized and cropped; see keras_mixer.preprocessing. Defaults to the transform
    of the run, or of the published weights; else resmall-crop."""

    on_bad_image: Literal["", "error", "skip"] = ""
    """Whether an unreadable image file is an error, or is skipped. Defaults to the setting of the
    run, or to error."""

    devices: int = 0
    """Number of devices to use, the first that the backend finds. 0 uses all."""

    output_dir: str = ""
    """Folder for the results and the features, which later commands use again. Defaults to
    RUN/probe, or to probes/NAME for a model without a run."""

    trust_model: bool = False
    """Load a .keras file that has more than a Mixer and layers of Keras that only compute, such as
    a Lambda layer. What such a file names is executed with your rights."""

    as_json: JsonFlag = False
    """Print JSON instead of a table."""


@dataclasses.dataclass(frozen=True)
class ProbeData:
    """The features that a probe is fitted to and tested on.

    Args:
        train: `training.evaluation.features.Features`.
        test: `training.evaluation.features.Features`.
        class_names: Names of the classes.
        data: The `training.config.Data` of the images.
        folder: Folder for the results.
    """

    train: Any
    test: Any
    class_names: tuple[str, ...]
    data: Data
    folder: Path

    @property
    def entries(self):
        """What the results say about the data."""
        return {
            "source": self.data.source,
            "evaluation_transform": self.data.evaluation_transform,
            "image_size": self.data.image_size,
            "classes": len(self.class_names),
            "features": self.train.values.shape[1],
            "train_examples": len(self.train.labels),
            "test_examples": len(self.test.labels),
        }


def read_probe_data(options, command, check):
    """Return the `ProbeData` of a model and a source: read from files, or computed.

    Args:
        options: `ProbeOptions`.
        command: Name of the command, for messages.
        check: Function that is called with the `Source` before anything is computed, and may raise
            UserError.

    Raises:
        UserError: If an option is invalid, or the source does not fit.
    """
    argument, _ = read_model_options(options.model, "")
    wanted = Hardware(devices=options.devices, precision="float32")
    wanted.check()
    names = ("train_split", "test_split", "batch_size", "on_bad_image")
    data = choose_data(
        argument,
        options.source,
        {"validation_fraction": 0.0},
        options.data_dir,
        **{name: getattr(options, name) for name in names},
    )
    folder = results_dir(argument, options.output_dir, "probe")

    require_backend()
    from training.data.changed_files import changed_files_as_user_errors
    from training.data.sources import load_source
    from training.devices.selection import find_distribution, refuse_several_hosts
    from training.evaluation.features import features_model, read_features
    from training.model_argument import load_model

    refuse_several_hosts(command)
    hardware = find_distribution(wanted)
    source = load_source(data)
    for split in ("train", "test"):
        source.require(split, data)
    if source.multi_label:
        raise UserError(
            f"--source must have one class for each image. Received: {data.source}, whose images "
            "have several. Choose another source, such as fewshot-imagenet."
        )
    check(source)
    size = hardware.evaluation_batch_size(min(data.batch_size, len(source.test)))
    data = dataclasses.replace(data, batch_size=size)
    memory = out_of_memory_as_user_error(f"--batch-size {size}", "Pass a smaller --batch-size.")
    changes = changed_files_as_user_errors(source, "Then run the same command again.")
    with hardware.scope(), memory, changes:
        loaded = load_model(argument, trusted=options.trust_model)
        require_same_inputs(source, loaded)
        require_output_dir(folder)
        data = dataclasses.replace(
            data,
            image_size=loaded.model.input_shape[1],
            evaluation_transform=options.evaluation_transform or loaded.evaluation_transform,
        )
        if not options.as_json:
            used = dataclasses.replace(hardware, precision=loaded.precision)
            print(used.describe("Computing features"), flush=True)
        model = features_model(loaded.model)
        splits = {
            split: read_features(
                model, split, source, data, folder / "features", False if options.as_json else None
            ).labeled()
            for split in ("train", "test")
        }
    return ProbeData(**splits, class_names=source.class_names, data=data, folder=folder)
