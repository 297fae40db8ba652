"""The command line: `python -m training COMMAND …`.

What is slow to import is imported inside the commands, so that help and errors come at once.
"""

import contextlib
import dataclasses
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from training.backend import ctrl_c_ends_at_once, require_backend
from training.commands import benchmark as benchmarks
from training.commands.evaluate import evaluate, predict
from training.commands.help_texts import join_lines
from training.commands.plan import Plan
from training.commands.recipe_choice import for_each_recipe
from training.commands.show import Pictures
from training.commands.terminal import abbreviate, print_table
from training.config import Config
from training.errors import STATUS_INTERRUPTED, UserError, report
from training.run.folder import RunFolder

PROGRAM = os.environ.get("KERAS_MIXER_PROGRAM", "python -m training")  # as the user called it

app = tyro.extras.SubcommandApp()


@dataclasses.dataclass(frozen=True)
class Run:
    config: Annotated[Config, tyro.conf.arg(name="")]
    run_dir: Path
    """Folder that the run writes. An interrupted run found there is resumed; a folder of
    another configuration is refused."""
    quiet: bool = False
    """Print one line per epoch instead of a progress bar, for logs."""


if TYPE_CHECKING:  # what a command receives, of whichever recipe
    RunOfRecipe = Run
    PicturesOfRecipe = Pictures
    PlanOfRecipe = Plan
else:
    RunOfRecipe = for_each_recipe(lambda name, recipe: Run(recipe.CONFIG, Path("runs") / name))
    PicturesOfRecipe = for_each_recipe(
        lambda name, recipe: Pictures(recipe.CONFIG, Path("pictures") / name)
    )
    PlanOfRecipe = for_each_recipe(lambda name, recipe: Plan(recipe.CONFIG, tpu=tyro.MISSING))


@app.command
def train(recipe: RunOfRecipe):
    """Train a Mixer by a recipe; `train RECIPE --help` lists the options.

    The backend is Keras's own choice: set the environment variable KERAS_BACKEND to
    tensorflow, jax or torch.
    """
    recipe.config.check()
    require_backend()
    folder = RunFolder(recipe.run_dir)
    with ctrl_c_ends_at_once():  # outside of `model.fit`, which saves
        from training.devices import hosts
        from training.run import train as fit
        from training.run.keeper import Interrupted

        was_finished = folder.is_finished()
        try:
            summary = fit.train(recipe.config, folder, verbose=2 if recipe.quiet else "auto")
        except Interrupted as end:
            if hosts.is_first():  # which saved it
                with contextlib.suppress(OSError):  # whoever read our output may have ended too
                    print("Saved. The same command goes on from here.", flush=True)
            sys.exit(128 + end.number)  # what a shell reports of a program that a signal ended
    if not hosts.is_first():
        return
    if was_finished:
        print(f"{folder.path} holds this run, finished. Its results:")
    print_table(
        {
            "test accuracy": f"{summary['test_accuracy']:.4f}",
            "test loss": f"{summary['test_loss']:.4f}",
            "test examples": f"{summary['test_examples']:,}",
            "skipped images": f"{summary['skipped_images']:,}",
            "parameters": f"{summary['parameters']:,}",
            "images per second, training": _rounded(summary["train_images_per_second"]),
            "seconds, of all sessions": _rounded(summary["wall_seconds"]),
            "backend": summary["backend"],
            "hardware": f"{abbreviate(summary['devices'])}; {summary['distribution']}, "
            f"{summary['precision']}",
            "model": folder.model,
            "curves": folder.curves,
            "history": folder.history,
            "TensorBoard": folder.tensorboard,
            "checkpoints": folder.checkpoints,
            "summary": folder.summary,
        }
    )


@app.command
def show(recipe: PicturesOfRecipe):
    """Draw the training images of a recipe as the model will see them, and its classes.

    The options of `train` change what is drawn. Each training image stands above the same image
    as an evaluation sees it, with the classes of its label and their shares.
    """
    recipe.run()


app.command(evaluate)
app.command(predict)


@app.command
def plan(recipe: PlanOfRecipe):
    """Compile a recipe's step for TPUs that are not there, and say what fits them.

    JAX's step of `train` in bfloat16 is compiled ahead of time by libtpu, which the extra `plan`
    installs; nothing runs. A compilation takes a minute or some. The options of `train` apply.
    """
    recipe.run()


@app.command
def benchmark(
    what: Annotated[benchmarks.Loading, tyro.conf.subcommand("loading")]
    | Annotated[benchmarks.Data, tyro.conf.subcommand("data")]
    | Annotated[benchmarks.Training, tyro.conf.subcommand("training")],
):
    """Measure speed and memory on this machine; `benchmark WHAT --help` lists the options."""
    what.check()
    require_backend()
    what.run()


def _rounded(number):
    return "not measured" if number is None else f"{number:,.0f}"


def main():
    """Run the command line; end with status 2 and one message on a user's mistake."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # less of TensorFlow's log
    join_lines()
    try:
        app.cli(
            prog=PROGRAM,
            description="Train, evaluate and use MLP-Mixers.",
            config=(
                tyro.conf.OmitArgPrefixes,
                tyro.conf.OmitSubcommandPrefixes,
                tyro.conf.FlagCreatePairsOff,
            ),
        )
    except (UserError, OSError) as error:
        sys.exit(report(error))
    except KeyboardInterrupt:
        sys.exit(STATUS_INTERRUPTED)


if __name__ == "__main__":
    main()
