"""Finished trials of studies without training, with the results that a test chooses."""

import math

from tests.support.runs import SUMMARY
from training.studies.presets import SMOKE
from training.studies.trials import FinishedTrial, Trial

STEPS = (10, 20, 30, 40)  # at the ends of the epochs


def finished_trial(folder, model, seed, accuracy, summary=None, **options):
    """Return a `FinishedTrial` whose validation accuracy approaches its test accuracy.

    Args:
        folder: Path of the study's folder; nothing is written.
        model: Name of the model.
        seed: Seed.
        accuracy: Test accuracy.
        summary: Other entries of `summary.json`.
        **options: Options of the trial.
    """
    architecture = {} if model == "mixer" else {"architecture": model}
    trial = Trial(
        f"{model.replace('/', '-')}-{seed}", model, seed, "shapes", SMOKE | architecture | options
    )
    history = [
        {"step": step, "val_accuracy": accuracy * (1 - math.exp(-step / 12))} for step in STEPS
    ]
    entries = {"test_accuracy": accuracy, "train_images_per_second": 64.0, **(summary or {})}
    return FinishedTrial(trial, folder / "runs" / trial.name, SUMMARY | entries, history)
