"""`python -m training evaluate`: evaluate a trained model."""

import dataclasses
import json
import math
import sys
from contextlib import ExitStack
from typing import Literal

from tqdm import tqdm

from training.backend import require_backend
from training.cli.model_data import (
    choose_data,
    match_classes_of_model,
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
from training.cli.terminal import JsonFlag, abbreviate, print_table
from training.config import Hardware
from training.errors import out_of_memory_as_user_error
from training.validation import require_output_dir


def run(
    model: ModelText,
    source: str = "",
    test_split: str = "",
    data_dir: str = "",
    batch_size: int = 0,
    evaluation_transform: EvaluationTransform = "",
    activation: Activation = "",
    class_names: ClassNames = "",
    on_bad_image: Literal["", "error", "skip"] = "",
    predictions: bool = False,
    devices: int = 0,
    output_dir: str = "",
    trust_model: bool = False,
    as_json: JsonFlag = False,
):
    """Evaluate a trained model on its test split or on another dataset.

    The command `evaluate MixerB16:imagenet1k --source imagenet` evaluates published weights on the
    validation images of ImageNet. Where images have several classes, as those of imagenet-real,
    a prediction of any of them is correct.

    Args:
        model: Model to evaluate: a run (RUN, RUN@best, RUN@step-1200), a file FILE.keras, a
            shared model (hf://USER/REPO or its folder), or a constructor and its weights
            (MixerB16:imagenet1k, MixerB16:FILE.npz). An unfinished run is evaluated with its
            newest checkpoint.
        source: Dataset with classes of the model, such as imagenet-real; see `train --help`.
            Classes are matched by name, and some may be missing. Defaults to the dataset of the
            run. If a folder or a file of arrays has no test split, all its training images are
            used.
        test_split: Split of a tfds dataset. Defaults to the test split of the dataset.
        data_dir: Folder of TensorFlow Datasets. Defaults to the one that TensorFlow Datasets uses.
        batch_size: Images per batch. 0 uses that of the run, or 64.
        evaluation_transform: How images are resized and cropped; see keras_mixer.preprocessing.
            Defaults to the transform of the run, or of the published weights; else resmall-crop.
        activation: How logits become probabilities, for the loss and the calibration error.
            Defaults to the loss of the run, or to the last activation of the file; else softmax.
        class_names: File with the names of the model's classes, one on each line or as a JSON
            list, such as class_names.json of a run. Defaults to the names that the run knows.
        on_bad_image: Whether an unreadable image file is an error, or is skipped. Defaults to the
            setting of the run, or to error.
        predictions: Write predictions.csv too, with the true and the predicted class of each image
            and their probabilities.
        devices: Number of devices to use, the first that the backend finds. 0 uses all.
        output_dir: Folder for evaluation.json, classes.csv, confusion.csv, confusion.png,
            mistakes.png and predictions.csv. Those of an earlier evaluation are replaced, or
            removed if there is no new one. Defaults to RUN/evaluation, or to evaluations/NAME for
            a model without a run.
        trust_model: Load a .keras file that has more than a Mixer and layers of Keras that only
            compute, such as a Lambda layer. What such a file names is executed with your rights.
        as_json: Print JSON instead of a table.
    """
    argument, names = read_model_options(model, class_names)
    wanted = Hardware(devices=devices, precision="float32")  # layers have a precision of their own
    wanted.check()
    data = choose_data(
        argument,
        source,
        {"validation_fraction": 0.0, "test_fraction": 1.0},  # its test split, or all that it has
        test_split=test_split,
        data_dir=data_dir,
        batch_size=batch_size,
        on_bad_image=on_bad_image,
    )

    require_backend()
    from training.data.changed_files import changed_files_as_user_errors
    from training.data.sources import load_source, test_only
    from training.devices.selection import find_distribution, refuse_several_hosts
    from training.evaluation.report import Draft
    from training.model_argument import load_model

    refuse_several_hosts("evaluate")
    hardware = find_distribution(wanted)
    examples = load_source(test_only(data))
    examples.require("test", data)
    batch_size = hardware.evaluation_batch_size(min(data.batch_size, len(examples.test)))
    data = dataclasses.replace(data, batch_size=batch_size)
    output = results_dir(argument, output_dir, "evaluation")
    memory = out_of_memory_as_user_error(
        f"--batch-size {data.batch_size}", "Pass a smaller --batch-size."
    )
    changes = changed_files_as_user_errors(examples, "Then evaluate again.")
    with ExitStack() as files:
        with hardware.scope(), memory, changes:
            loaded = load_model(argument, activation, names, trust_model)
            require_same_inputs(examples, loaded)
            examples = match_classes_of_model(examples, loaded, data)
            require_output_dir(output)
            transform = evaluation_transform or loaded.evaluation_transform
            size = loaded.model.input_shape[1]
            if not as_json:
                used = dataclasses.replace(hardware, precision=loaded.precision)
                print(used.describe("Evaluating"))
                print(
                    f"Images: {transform} to {size} pixels. Activation: {loaded.activation}.",
                    flush=True,
                )
            data = dataclasses.replace(data, image_size=size, evaluation_transform=transform)
            draft = files.enter_context(Draft(output))
            result, confusion, mistakes = _evaluate(
                loaded, examples, data, predictions, draft, as_json
            )
        _report(result, confusion, mistakes, examples, data, draft, as_json)


def _evaluate(loaded, examples, data, predictions, draft, as_json):
    """Return the accuracy, the confusion matrix and the worst mistakes; write the predictions."""
    from training.data.pipeline import evaluation_batches
    from training.evaluation.accuracy import evaluate_accuracy
    from training.evaluation.confusion import Confusion
    from training.evaluation.mistakes import Mistakes
    from training.evaluation.predictions_file import PredictionsFile
    from training.evaluation.report import PREDICTIONS

    batches = tqdm(
        evaluation_batches(examples.test, examples, data),
        "evaluating",
        math.ceil(len(examples.test) / data.batch_size),
        unit="batch",
        disable=True if as_json else None,  # None: unless stderr is a terminal
    )
    confusion, mistakes = Confusion(), Mistakes()
    observers = [confusion.observe, mistakes.add]
    received = f"--batch-size {data.batch_size} with images of {data.image_size} pixels"
    with ExitStack() as files:
        if predictions:
            file = PredictionsFile(draft, PREDICTIONS, examples.class_names, examples.test.name)
            observers.append(files.enter_context(file).add)
        with out_of_memory_as_user_error(received, "Pass a smaller --batch-size."):
            result = evaluate_accuracy(loaded.model, batches, loaded.activation, observers)
    return result, confusion, mistakes


def _report(result, confusion, mistakes, examples, data, draft, as_json):
    """Write the files of an evaluation, and print its results."""
    from training.evaluation.class_metrics import ClassMetrics
    from training.evaluation.report import NAMES, write_report

    prefix = "real_" if examples.multi_label else ""  # ReaL accuracy is a metric of its own
    metrics, means = None, {}
    if examples.multi_label:
        print(
            "note: metrics of each class are left out, since an image may have several classes",
            file=sys.stderr,
        )
    else:
        metrics = ClassMetrics(confusion, len(examples.class_names))
        means = {"balanced_accuracy": metrics.balanced_accuracy(), "macro_f1": metrics.macro_f1()}
    entries = {
        "source": data.source,
        "test_split": data.test_split,
        f"{prefix}accuracy": result.accuracy,
        f"{prefix}top5_accuracy": result.top5_accuracy,
        **means,
        "loss": result.loss,
        "calibration_error": result.calibration_error,
        "examples": result.examples,
    }
    missing = []
    if metrics:
        counts = zip(examples.class_names, metrics.support, strict=True)
        missing = [name for name, count in counts if not count]
        entries["missing_classes"] = missing
    title = f"{data.source}: {result.examples:,} images, accuracy {result.accuracy:.2%}"
    names, name_of_image = examples.class_names, examples.test.name
    paths = write_report(draft, entries, title, names, confusion, metrics, mistakes, name_of_image)
    if as_json:
        print(json.dumps(entries, indent=2))
        return
    kind = "ReaL " if examples.multi_label else ""
    print_table(
        {
            f"{kind}accuracy": f"{result.accuracy:.4f}",
            f"{kind}top-5 accuracy": f"{result.top5_accuracy:.4f}",
            **{name.replace("_", " ").replace("f1", "F1"): f"{m:.4f}" for name, m in means.items()},
            "loss": f"{result.loss:.4f}",
            "calibration error": f"{result.calibration_error:.4f}",
            "examples": f"{result.examples:,}",
            **({"without examples": f"{len(missing)}: {abbreviate(missing)}"} if missing else {}),
            **{what: paths[name] for name, what in NAMES.items() if name in paths},
            **({} if mistakes.total else {"mistakes": "none, so there is no figure of them"}),
        }
    )
