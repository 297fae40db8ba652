"""`python -m training train`: train a model with a recipe."""

import contextlib
import dataclasses
import sys
from pathlib import Path

from keras_mixer.terminal import ctrl_c_ends_at_once
from training.backend import require_backend
from training.cli.recipe_choice import RecipeOptions, for_each_recipe
from training.cli.terminal import abbreviate, print_table
from training.run.folder import RunFolder


@dataclasses.dataclass(frozen=True)
class Train(RecipeOptions):
    run_dir: Path
    """Folder for the results. If it holds an interrupted run of the same configuration, the run is
    resumed; the folder of another configuration is refused."""

    trust_model: bool = False
    """Load --weights FILE.keras even if the file has more than a Mixer and layers of Keras that
    only compute, such as a Lambda layer. What such a file names is executed with your rights."""

    quiet: bool = False
    """Print one line per epoch instead of a progress bar, for logs."""


@for_each_recipe(lambda name, config: Train(config, run_dir=Path("runs") / name))
def run(options: Train):
    """Train a Mixer with a recipe; `train RECIPE --help` lists the options.

    The environment variable KERAS_BACKEND selects the backend: tensorflow, jax or torch.
    """
    options.config.check()
    require_backend()
    folder = RunFolder(options.run_dir)
    with ctrl_c_ends_at_once():  # except in `model.fit`, which saves a checkpoint first
        from training.devices import hosts
        from training.run import train as fit
        from training.run.signals import Interrupted

        was_finished = folder.is_finished()
        try:
            summary = fit.train(
                options.config,
                folder,
                verbose=2 if options.quiet else "auto",
                trust_model=options.trust_model,
            )
        except Interrupted as end:
            if hosts.is_first():  # the host that saved the checkpoint
                with contextlib.suppress(OSError):  # whoever read our output may have ended too
                    print("Checkpoint saved. Run the same command to resume.", flush=True)
            sys.exit(128 + end.number)  # as a shell reports a program that a signal ended
    if not hosts.is_first():
        return
    if was_finished:
        print(f"The run in {folder.path} is already finished. Its results:")
    print_table(_results(summary, folder))


def _results(summary, folder):
    """Return the table of results: `{name: value}`."""
    hardware = f"{abbreviate(summary['devices'])}; {summary['distribution']}"
    return {
        "test accuracy": f"{summary['test_accuracy']:.4f}",
        "test loss": f"{summary['test_loss']:.4f}",
        "test examples": f"{summary['test_examples']:,}",
        "skipped images": f"{summary['skipped_images']:,}",
        "parameters": f"{summary['parameters']:,}",
        "training images per second": _rounded(summary["train_images_per_second"]),
        "seconds, all sessions": _rounded(summary["wall_seconds"]),
        "backend": summary["backend"],
        "hardware": f"{hardware}, {summary['precision']}",
        "model": folder.model,
        "curves": folder.curves,
        "history": folder.history,
        "TensorBoard": folder.tensorboard,
        "checkpoints": folder.checkpoints,
        "summary": folder.summary,
    }


def _rounded(number):
    return "not measured" if number is None else f"{number:,.0f}"
