"""Run folders without training, with the results that a test chooses."""

from tests.support.runs import SUMMARY
from training.config import Config
from training.run.folder import RunFolder

STEPS_PER_EPOCH = 10
VERSIONS = {"keras_mixer": "0.0.7", "keras": "3.15.1", "jax": "0.10.2"}


def write_run(path, accuracies=(0.5, 0.75), summary=None, backend="jax", **options):
    """Write the folder of a run, and return its `RunFolder`.

    Args:
        path: Path of the folder.
        accuracies: Validation accuracies at the end of the epochs; the loss is 1 minus them.
        summary: Entries of `summary.json` that differ from those of `SUMMARY`; None for an
            unfinished run.
        backend: Name of the backend.
        **options: Fields of the configuration.
    """
    folder = RunFolder(path)
    folder.write_config(Config().vary(**options), backend)
    rows = [
        {
            "epoch": epoch,
            "step": epoch * STEPS_PER_EPOCH,
            "accuracy": accuracy / 2,
            "loss": 2 - accuracy,
            "val_accuracy": accuracy,
            "val_loss": 1 - accuracy,
        }
        for epoch, accuracy in enumerate(accuracies, 1)
    ]
    if rows:
        folder.write_history(rows)
    if summary is not None:
        known = SUMMARY | {"backend": backend, "hosts": 1, "versions": VERSIONS}
        folder.write_summary(known | summary)
    return folder
