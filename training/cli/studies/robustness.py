"""Options of the study of robustness."""

import dataclasses
import json
from pathlib import Path
from typing import Annotated, Literal

import tyro
from rich.table import Table

from keras_mixer.terminal import printable
from training.cli.model_data import choose_data, match_classes_of_model, require_same_inputs
from training.cli.model_options import (
    Activation,
    ClassNames,
    EvaluationTransform,
    read_class_names,
)
from training.cli.terminal import JsonFlag, print_rich, print_table
from training.config import Hardware
from training.config.data import TEST_FIELDS
from training.errors import UserError, out_of_memory_as_user_error
from training.model_argument import parse
from training.validation import (
    LARGEST_INTEGER,
    refuse_unless,
    require_output_dir,
    require_range,
)

ModelTexts = Annotated[
    tuple[str, ...],
    tyro.conf.Positional,
    tyro.conf.arg(metavar="MODEL...", help_behavior_hint="(one or more)"),
]
ALL, NONE = "all", "none"


@dataclasses.dataclass(frozen=True)
class Robustness:
    """Accuracy and calibration of models on corrupted images: noise, blur, fog, JPEG and others.

    `study robustness MixerB16:imagenet1k MixerB16:sam --source imagenet` compares two models at
    five severities of 13 corruptions in the spirit of ImageNet-C (arXiv 1903.12261). For ImageNet-C
    itself, ImageNet-A, -R, -V2 and Sketch, see --source. Finished results are kept.
    """

    models: ModelTexts
    """Models to compare: runs (RUN, RUN@best, RUN@step-1200), files FILE.keras, or constructors and
    their weights (MixerB16:imagenet1k, MixerB16:FILE.npz)."""

    source: str = ""
    """Dataset with classes of the models; see `train --help`. Defaults to the dataset of the runs.
    Other test sets of ImageNet are measured with `--corruptions none` as they are: tfds:imagenet_a,
    tfds:imagenet_r, tfds:imagenet_sketch, tfds:imagenet_v2/matched-frequency, and ImageNet-C with
    `--source tfds:imagenet2012_corrupted/gaussian_noise_1 --test-split validation`."""

    test_split: str = ""
    """Split of a tfds dataset. Defaults to the test split of the dataset."""

    data_dir: str = ""
    """Folder of TensorFlow Datasets. Defaults to the one that TensorFlow Datasets uses."""

    batch_size: int = 0
    """Images per batch. 0 uses that of the first run, or 64."""

    evaluation_transform: EvaluationTransform = ""
    """How images are resized and cropped for every model; see keras_mixer.preprocessing. Defaults
    to the transform of each run, or of the published weights; else resmall-crop."""

    activation: Activation = ""
    """How logits of every model become probabilities. Defaults to the loss of each run, or to the
    last activation of the file; else softmax."""

    class_names: ClassNames = ""
    """File with the names of the classes of all models, one on each line or as a JSON list, such as
    class_names.json of a run. Defaults to the names that each run knows."""

    corruptions: tuple[str, ...] = (ALL,)
    """Some of gaussian_noise, shot_noise, impulse_noise, defocus_blur, motion_blur, zoom_blur, fog,
    brightness, contrast, desaturation (of color images), pixelation, jpeg and elastic; or all; or
    none, which measures the images as they are."""

    on_bad_image: Literal["", "error", "skip"] = ""
    """Whether an unreadable image file is an error, or is skipped. Defaults to the setting of the
    runs, or to error."""

    severities: tuple[int, ...] = (1, 2, 3, 4, 5)
    """Strengths of the corruptions, some of 1 to 5."""

    seed: int = 0
    """Seed of the corruptions."""

    output_dir: Path = Path("studies/robustness")
    """Folder for results.json, results.csv and robustness.png, which are replaced, and the finished
    results. While the study runs, it needs space for two copies of the decoded images."""

    devices: int = 0
    """Number of devices to use, the first that the backend finds. 0 uses all."""

    trust_model: bool = False
    """Load a .keras file that has more than a Mixer and layers of Keras that only compute, such as
    a Lambda layer. What such a file names is executed with your rights."""

    as_json: JsonFlag = False
    """Print JSON instead of a table."""

    def check(self):
        from training.data.corruptions import CORRUPTIONS, SEVERITIES

        if not self.models or len(set(self.models)) < len(self.models):
            received = " ".join(self.models) or "none"
            raise UserError(
                f"MODEL... must be one or more different models. Received: {received}. Pass "
                "MixerB16:imagenet1k, for example."
            )
        names, numbers = self.corruptions, self.severities
        refuse_unless(
            names in ((ALL,), (NONE,)) or _are_some_of(names, CORRUPTIONS),
            "corruptions",
            f"must be {ALL}, {NONE} or different ones of {', '.join(CORRUPTIONS)}",
            " ".join(names) or "nothing",
            "Pass fog jpeg, for example.",
        )
        refuse_unless(
            _are_some_of(numbers, SEVERITIES),
            "severities",
            "must be one or more different numbers from 1 to 5",
            " ".join(map(str, numbers)) or "none",
            "Pass 1 3 5, for example.",
        )
        require_range(self, "batch_size", LARGEST_INTEGER)
        require_range(self, "seed", LARGEST_INTEGER)
        self._hardware.check()
        self._choose_data()
        _ = self._class_names  # can be read
        require_output_dir(self.output_dir)

    @property
    def _class_names(self):
        return read_class_names(Path(self.class_names)) if self.class_names else ()

    @property
    def _hardware(self):
        return Hardware(devices=self.devices, precision="float32")  # models have their precision

    def _choose_data(self):
        """Return the parsed MODELs, and the `Data` of the images, the same for all of them."""
        arguments = [parse(model) for model in self.models]
        fractions = {"validation_fraction": 0.0, "test_fraction": 1.0}
        options = {"test_split": self.test_split, "batch_size": self.batch_size}
        options["on_bad_image"] = self.on_bad_image
        first, *others = (
            choose_data(argument, self.source, fractions, self.data_dir, **options)
            for argument in arguments
        )
        for argument, data in zip(arguments[1:], others, strict=True):
            differing = [f for f in TEST_FIELDS if getattr(data, f) != getattr(first, f)]
            if differing == ["on_bad_image"]:
                raise UserError(
                    "--on-bad-image must be given unless runs have the same. Received: nothing, "
                    f"with {first.on_bad_image} in {arguments[0].text} and {data.on_bad_image} in "
                    f"{argument.text}. Pass --on-bad-image skip, for example."
                )
            if differing:
                raise UserError(
                    "--source must be given unless all runs have the same test images. Received: "
                    f"nothing, with {arguments[0].text} on {first.source} and {argument.text} on "
                    f"{data.source}. Pass --source {first.source}, for example."
                )
        return arguments, first

    def run(self):
        from training.data.changed_files import changed_files_as_user_errors
        from training.data.sources import load_source, test_only
        from training.devices.selection import find_distribution, refuse_several_hosts
        from training.studies.robustness import measure

        refuse_several_hosts("study robustness")
        arguments, data = self._choose_data()
        hardware = find_distribution(self._hardware)
        source = load_source(test_only(data))
        source.require("test", data)
        names = self._choose_corruptions(source.channels)
        size = hardware.evaluation_batch_size(min(data.batch_size, len(source.test)))
        data = dataclasses.replace(data, batch_size=size)
        memory = out_of_memory_as_user_error(f"--batch-size {size}", "Pass a smaller --batch-size.")
        changes = changed_files_as_user_errors(source, "Then run the same command again.")
        with hardware.scope(), memory, changes:
            contestants = [self._load(argument, source, data) for argument in arguments]
            if not self.as_json:
                precisions = {own.loaded.precision for own in contestants}
                used = dataclasses.replace(hardware, precision=" and ".join(sorted(precisions)))
                print(used.describe("Evaluating"), flush=True)
            show_progress = False if self.as_json else None
            severities = sorted(self.severities)
            results = measure(
                contestants, self.output_dir, names, severities, self.seed, show_progress
            )
        self._report(results, data)

    def _choose_corruptions(self, channels):
        from training.data.corruptions import COLOR_ONLY, names_for

        if self.corruptions in ((ALL,), (NONE,)):
            return names_for(channels) if self.corruptions == (ALL,) else ()
        refuse_unless(
            channels == 3 or COLOR_ONLY.isdisjoint(self.corruptions),
            "corruptions",
            f"must not have {', '.join(COLOR_ONLY)} for gray images",
            " ".join(self.corruptions),
            f"Pass {ALL} for those that gray images can have.",
        )
        return self.corruptions

    def _load(self, argument, source, data):
        """Return the `Contestant` of a parsed MODEL."""
        from training.model_argument import load_model
        from training.studies.robustness import Contestant

        loaded = load_model(argument, self.activation, self._class_names, self.trust_model)
        require_same_inputs(source, loaded)
        data = dataclasses.replace(
            data,
            image_size=loaded.model.input_shape[1],
            evaluation_transform=self.evaluation_transform or loaded.evaluation_transform,
        )
        source = match_classes_of_model(source, loaded, data, argument.text)
        return Contestant(argument.text, loaded, source, data)

    def _report(self, results, data):
        """Write the results, and print them."""
        from training.studies.robustness_report import write_report

        entries = {"source": data.source, "test_split": data.test_split, "seed": self.seed}
        entries, paths = write_report(results, entries, self.output_dir)
        if self.as_json:
            print(json.dumps(entries, indent=2))
            return
        _print_results(results, entries["summary"])
        print_table(dict(zip(("results", "table", "figure"), paths, strict=False)))


def _are_some_of(values, valid):
    return bool(values) and set(values) <= set(valid) and len(set(values)) == len(values)


def _print_results(results, summaries):
    """Print a table with a column for each model."""
    models = dict.fromkeys(result.model for result in results)
    table = Table("accuracy, mean over severities", *map(printable, models))
    names = list(dict.fromkeys(result.corruption for result in results))
    for name in names:
        own = [[r for r in results if (r.model, r.corruption) == (m, name)] for m in models]
        cells = (f"{sum(r.accuracy for r in of) / len(of):.4f}" for of in own)
        table.add_row(name.replace("_", " "), *cells, end_section=name == names[-1])
    for field in list(summaries[0])[1:] if summaries else ():
        cells = (str(None) if s[field] is None else f"{s[field]:.4f}" for s in summaries)
        table.add_row(field.replace("_", " "), *cells)
    print_rich(table)
