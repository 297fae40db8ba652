"""Trials of a study: training runs in processes of their own, one after another or at once."""

import contextlib
import dataclasses
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

import keras
from tqdm import tqdm

from keras_mixer.files import read_text
from training.devices.cpu import cores
from training.errors import UserError
from training.recipes import RECIPES
from training.run.folder import RunFolder

POLL_SECONDS = 0.5
# Number of threads of OpenMP (PyTorch), TensorFlow and XLA (JAX).
THREADS = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "NPROC")
SECONDS_TO_SAVE = 60  # of a run whose study has ended
ROOT = Path(__file__).resolve().parents[2]


@dataclasses.dataclass(frozen=True)
class Trial:
    """A training run of a study.

    Args:
        name: Name of the run's folder.
        model: Name of the model, as the study shows it.
        seed: Seed of the run.
        recipe: Name of the recipe.
        options: Fields of the recipe's configuration that differ: `{name: value}`.
    """

    name: str
    model: str
    seed: int
    recipe: str
    options: dict

    @property
    def config(self):
        """The `training.config.Config`."""
        return RECIPES[self.recipe].CONFIG.vary(**self.options, seed=self.seed)

    def command(self, run_dir):
        """Return the arguments of `python -m training` that train this run."""
        words = ["train", self.recipe, f"--run-dir={run_dir}", f"--seed={self.seed}"]
        defaults: dict = {}
        for part in dataclasses.asdict(RECIPES[self.recipe].CONFIG).values():
            defaults |= part if isinstance(part, dict) else {}
        for name, value in self.options.items():
            option = name.replace("_", "-")
            if value == defaults[name]:
                continue
            if isinstance(value, bool):
                words.append(f"--{option}" if value else f"--no-{option}")
            else:
                words.append(f"--{option}={value}")
        return words


@dataclasses.dataclass(frozen=True)
class FinishedTrial:
    """A trial and its results.

    Args:
        trial: The `Trial`.
        run: Folder of the run.
        summary: Contents of the run's `summary.json`.
        history: Rows of its `history.csv`: `{column: value}`.
    """

    trial: Trial
    run: Path
    summary: dict
    history: list

    @property
    def _command(self):
        return shlex.join(["python", "-m", "training", *self.trial.command(self.run)])

    @property
    def entries(self):
        """Where the numbers come from: for the results of a study."""
        return {
            "model": self.trial.model,
            "seed": self.trial.seed,
            "run": str(self.run),
            "command": f"KERAS_BACKEND={self.summary['backend']} {self._command}",
            "test_accuracy": self.summary["test_accuracy"],
            "test_loss": self.summary["test_loss"],
            "parameters": self.summary["parameters"],
            "backend": self.summary["backend"],
        }


def accuracies(trials, model):
    """Return the test accuracies of a model, in the order of the seeds, of `FinishedTrial`s."""
    own = [t for t in trials if t.trial.model == model]
    return [t.summary["test_accuracy"] for t in sorted(own, key=lambda t: t.trial.seed)]


def run_trials(trials, folder, jobs=1, show_progress=None):
    """Train what is not yet trained, and return a `FinishedTrial` for each trial.

    Args:
        trials: The `Trial`s, with different names.
        folder: Path of the study's folder. Runs are in `runs`, their output in `logs`.
        jobs: Number of runs that are trained at the same time.
        show_progress: Whether to show progress; None if stderr is a terminal.

    Raises:
        UserError: If a configuration is invalid, or a run fails. The other runs that are training
            save a checkpoint, and the same call resumes.
        KeyboardInterrupt: On ctrl-C, as well.
    """
    check_trials(trials, folder)
    (folder / "logs").mkdir(parents=True, exist_ok=True)
    waiting = [t for t in trials if not RunFolder(folder / "runs" / t.name).is_finished()]
    running: dict = {}  # process: trial
    progress = _Progress(trials, folder, show_progress)
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                trial = waiting.pop(0)
                running[_start(trial, folder, jobs)] = trial
            time.sleep(POLL_SECONDS)
            progress.update([*running.values()])
            for process in [process for process in running if process.poll() is not None]:
                _refuse_failure(process, running.pop(process), folder)
    except KeyboardInterrupt:
        print("Saving checkpoints. Run the same command to resume.", file=sys.stderr, flush=True)
        raise
    finally:
        progress.close()
        for process in running:
            process.stdin.close()  # asks it to end
        for process in running:
            process.wait()
    return [_read(trial, folder / "runs" / trial.name) for trial in trials]


def check_trials(trials, folder):
    """Raise UserError if a trial cannot be trained in the folder of a study."""
    for trial in trials:
        config, run = trial.config, RunFolder(folder / "runs" / trial.name)
        config.check()
        if config.hardware.precision == "auto" and run.config.exists():
            # A run records what "auto" was; to find out again would occupy the devices.
            config = config.vary(precision=run.read_config().hardware.precision)
        try:
            run.refuse_other_run(config, keras.backend.backend())
        except UserError as error:
            raise UserError(
                f"--study-dir must be new, or that of the same study. Received: {folder}, which "
                f"has other runs: {error} Pass another --study-dir."
            ) from error


def _start(trial, folder, jobs):
    """Start the process of a trial; closing its standard input ends it.

    Processes that run at the same time share the cores: each would start a thread for all of them.
    """
    threads = dict.fromkeys(THREADS, str(max(1, cores() // jobs))) if jobs > 1 else {}
    run = RunFolder(folder / "runs" / trial.name)
    _wait_for_lock(run)
    command = [sys.executable, "-P", "-m", "training.studies.run_process"]
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    with (folder / "logs" / f"{trial.name}.log").open("a") as log:
        return subprocess.Popen(
            [*command, *trial.command(run.path), "--quiet"],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            env={
                "JAX_COMPILATION_CACHE_DIR": str(folder / "jax-cache"),  # seeds share programs
                **threads,
                **os.environ,
                "PYTHONPATH": path,
            },
            start_new_session=True,  # ctrl-C reaches only the study, which ends its runs
        )


def _wait_for_lock(run):
    """Wait until a run of an interrupted study has saved its checkpoint."""
    if not run.path.exists():
        return
    end = time.monotonic() + SECONDS_TO_SAVE
    while time.monotonic() < end:
        with contextlib.suppress(UserError), run.lock():
            return
        time.sleep(POLL_SECONDS)


def _refuse_failure(process, trial, folder):
    if process.returncode == 0:
        return
    log = folder / "logs" / f"{trial.name}.log"
    lines = [line for line in read_text(log, errors="replace").splitlines() if line.strip()]
    raise UserError(
        f"Every run of the study must finish. Received: status {process.returncode} of "
        f"{trial.name}, whose last output is {' / '.join(lines[-3:])!r}. Read {log}, and run the "
        "same command to resume."
    )


def _read(trial, run):
    folder = RunFolder(run)
    return FinishedTrial(trial, run, folder.read_summary(), folder.read_history())


class _Progress:
    """Progress bar over all trials, with the time left.

    A trial takes as long as the others of its model, as far as these were watched.
    """

    def __init__(self, trials, folder, show_progress):
        self._trials, self._folder = trials, folder
        self._done = {trial.name: self._share(trial) for trial in trials}
        self._watched: dict = {}  # model: seconds, and the share of a run that they were for
        self._last = time.monotonic()
        self._bar = tqdm(
            total=len(trials),
            initial=sum(self._done.values()),
            bar_format="training: {n:.1f} of {total} runs |{bar}| {elapsed}{postfix}",
            disable=None if show_progress is None else not show_progress,
        )

    def update(self, running):
        """Show what is done, the running trials, and the time left."""
        elapsed = time.monotonic() - self._last
        self._last += elapsed
        for trial in running:
            share = self._share(trial)
            seconds, watched = self._watched.get(trial.model, (0.0, 0.0))
            new = share - self._done[trial.name]
            self._watched[trial.model] = (seconds + elapsed, watched + new)
            self._done[trial.name] = share
        self._bar.update(sum(self._done.values()) - self._bar.n)
        names = ", ".join(trial.name for trial in running)
        self._bar.set_postfix_str(f"{self._left(max(1, len(running)))}{names and ', '}{names}")

    def _left(self, jobs):
        seconds = {model: s / share for model, (s, share) in self._watched.items() if share}
        if not seconds:
            return "time left unknown"
        mean = sum(seconds.values()) / len(seconds)
        left = sum((1 - self._done[t.name]) * seconds.get(t.model, mean) for t in self._trials)
        return f"{tqdm.format_interval(left / jobs)} left"

    def _share(self, trial):
        """Return the share of a trial that is done, by its last epoch."""
        run = RunFolder(self._folder / "runs" / trial.name)
        if run.is_finished():
            return 1.0
        history, optimization = run.read_history(), trial.config.optimization
        if not history:
            return 0.0
        if optimization.total_steps:
            return history[-1]["step"] / optimization.total_steps
        return len(history) / optimization.total_epochs

    def close(self):
        self._bar.close()
