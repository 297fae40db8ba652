"""Trials in processes of their own: their results, interruptions and failures."""

import dataclasses
import functools
import shlex
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import keras
import pytest

from training import __main__ as application
from training.errors import UserError
from training.run.folder import RunFolder
from training.studies import trials as module
from training.studies.presets import SMOKE
from training.studies.trials import Trial, check_trials, run_trials

EPOCHS = 8
JOBS = 2  # in all calls: the number of threads can change the last digits
ROOT = Path(__file__).resolve().parents[3]
TINY = Trial("tiny", "mixer", 0, "shapes", SMOKE)
LONGER = [
    Trial(f"seed-{seed}", "mixer", seed, "shapes", SMOKE | {"total_epochs": EPOCHS})
    for seed in range(2)
]
STUDY = """
import pathlib, sys
from tests.training.studies.test_trials import JOBS, LONGER
from training.studies.trials import run_trials

run_trials(LONGER[:1], pathlib.Path(sys.argv[1]), JOBS)
"""


# `test_training.py` trains a study on each backend, and `test_train.py` resumes runs.
pytestmark = pytest.mark.backend("torch")


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """The folder of a study of the trials `LONGER`, and what `run_trials` returned."""
    folder = tmp_path_factory.mktemp("study")
    return folder, run_trials(LONGER, folder, JOBS)


def state(run):
    """Return the arrays of the last checkpoint and the history: what must be bitwise equal."""
    newest = max(run.checkpoints.glob("batch-*.npz"))
    with zipfile.ZipFile(newest) as archive:
        arrays = {n: archive.read(n) for n in archive.namelist() if n.endswith(".npy")}
    assert len(arrays) > 20
    return newest.name, arrays, run.history.read_text()


def parsed_config(words, monkeypatch):
    """Return the `Config` of a command `train …` as the command line reads it."""
    commands, configs = application.find_commands(), []

    @functools.wraps(commands["train"])
    def train(options):
        configs.append(options.config)

    with monkeypatch.context() as changes:
        changes.setattr(application, "find_commands", lambda: commands | {"train": train})
        changes.setattr(sys, "argv", ["training", *words])
        application.main()
    return configs[0]


@pytest.mark.parametrize("jobs, expected", [(1, None), (2, "4"), (3, "2"), (100, "1")])
def test_processes_share_the_cores(jobs, expected, tmp_path, monkeypatch):
    """A number that the user has set is kept, and a process without others has all cores."""
    started = []
    monkeypatch.setattr(module, "cores", lambda: 8)
    monkeypatch.setattr(subprocess, "Popen", lambda *arguments, env, **_: started.append(env))
    monkeypatch.setenv("NPROC", "7")
    for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "logs").mkdir()
    module._start(TINY, tmp_path, jobs)
    (environment,) = started
    assert environment["NPROC"] == "7"
    for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS"):
        assert environment.get(name) == expected


@pytest.mark.long
def test_results_come_from_the_run_folders(study, monkeypatch):
    folder, finished = study
    assert [f.trial for f in finished] == LONGER
    for found in finished:
        run = RunFolder(folder / "runs" / found.trial.name)
        assert found.run == run.path
        assert found.summary == run.read_summary()
        assert found.history == run.read_history() and len(found.history) == EPOCHS
        assert f"Epoch {EPOCHS}/{EPOCHS}" in (folder / f"logs/{found.trial.name}.log").read_text()
        entries = found.entries
        assert (entries["model"], entries["seed"]) == ("mixer", found.trial.seed)
        assert entries["backend"] == keras.backend.backend()
        for key in ("test_accuracy", "test_loss", "parameters"):
            assert entries[key] == found.summary[key]
        backend, python, *words = shlex.split(entries["command"])
        assert backend == f"KERAS_BACKEND={keras.backend.backend()}"
        assert [python, *words[:2]] == ["python", "-m", "training"]
        assert f"--run-dir={found.run}" in words
        config = found.trial.config
        assert parsed_config(words[2:], monkeypatch) == config
        assert run.read_config() == config.vary(precision=found.summary["precision"])
    first, second = finished
    assert first.summary["test_loss"] != second.summary["test_loss"]  # of different seeds


@pytest.mark.long
def test_a_finished_study_trains_nothing(study, monkeypatch):
    folder, finished = study
    monkeypatch.setattr(module, "_start", lambda *_: pytest.fail("a run was started"))
    assert run_trials(LONGER, folder, JOBS) == finished


@pytest.mark.long
def test_after_ctrl_c_the_same_call_resumes(study, tmp_path, monkeypatch, capsys):
    run = RunFolder(tmp_path / "runs" / LONGER[0].name)

    def interrupt_in_the_middle(*_):
        if run.read_history():
            raise KeyboardInterrupt

    with monkeypatch.context() as changes:
        changes.setattr(module, "POLL_SECONDS", 0.05)
        changes.setattr(module._Progress, "update", interrupt_in_the_middle)
        with pytest.raises(KeyboardInterrupt):
            run_trials(LONGER[:1], tmp_path, JOBS)
    assert "Saving checkpoints. Run the same command to resume." in capsys.readouterr().err
    require_saved(run, tmp_path)
    finish(run, study, tmp_path)


@pytest.mark.long
def test_runs_end_with_a_killed_study_and_resume(study, tmp_path):
    run = RunFolder(tmp_path / "runs" / LONGER[0].name)
    process = subprocess.Popen([sys.executable, "-c", STUDY, tmp_path], cwd=ROOT)
    try:
        wait_until(run.read_history)
    finally:
        process.kill()
        process.wait()
    module._wait_for_lock(run)
    require_saved(run, tmp_path)
    finish(run, study, tmp_path)


def wait_until(condition, timeout_seconds=120):
    end = time.monotonic() + timeout_seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def require_saved(run, folder):
    """Require that a run has ended in the middle, with a checkpoint."""
    with run.lock():  # no process trains
        assert not run.is_finished()
        assert 0 < len(run.read_history()) < EPOCHS
        assert run.find_checkpoint()
    assert "Checkpoint saved." in (folder / f"logs/{LONGER[0].name}.log").read_text()


def finish(run, study, folder):
    """Require that the interrupted study ends as the one without interruption did."""
    other, (expected, _) = study
    (found,) = run_trials(LONGER[:1], folder, JOBS)
    assert state(run) == state(RunFolder(other / "runs" / LONGER[0].name))
    for key in ("test_accuracy", "test_loss", "test_calibration_error"):
        assert found.summary[key] == expected.summary[key]


class Broken(Trial):
    """A trial whose command the command line refuses."""

    def command(self, run_dir):
        return [*super().command(run_dir), "--speed", "9"]


@pytest.mark.long
def test_a_failing_run_ends_the_study(tmp_path, monkeypatch):
    started = []

    def start(*arguments, start=module._start):
        started.append(start(*arguments))
        return started[-1]

    monkeypatch.setattr(module, "_start", start)
    broken = Broken("broken", "mixer", 0, "shapes", SMOKE)
    with pytest.raises(UserError) as caught:
        run_trials([broken, LONGER[0]], tmp_path, jobs=2)
    message, log = str(caught.value), tmp_path / "logs" / "broken.log"
    assert message.startswith("Every run of the study must finish. Received: status 2 of broken")
    assert "Received: --speed" in message and f"Read {log}" in message
    assert "Received: --speed" in log.read_text()
    assert len(started) == 2 and all(process.poll() is not None for process in started)


def test_a_folder_of_another_configuration_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_start", lambda *_: pytest.fail("a run was started"))
    other = TINY.config.vary(learning_rate=0.5, precision="float32")
    RunFolder(tmp_path / "runs" / "tiny").write_config(other, "torch")
    with pytest.raises(UserError, match="another configuration.*learning_rate"):
        run_trials([LONGER[0], TINY], tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]


def test_an_invalid_configuration_is_refused(tmp_path):
    invalid = dataclasses.replace(TINY, options=SMOKE | {"image_size": 33})
    with pytest.raises(UserError, match="--image-size must be a multiple"):
        check_trials([TINY, invalid], tmp_path)
    check_trials([TINY], tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "recipe, options",
    [
        ("shapes", {}),
        ("shapes", SMOKE),
        ("shapes", {"flip": True, "deterministic": False, "rematerialize": False}),
        ("shapes", {"head_bias": -6.9, "weight_decay": 1e-05, "train_fraction": 0.1}),
        ("shapes", {"source": "folder:my photos", "data_dir": "a 'quoted' $folder"}),
        ("shapes", {"architecture": "vit-tiny/4", "input_permutation": "pixels"}),
        ("imagenet-b16", {"drop_path_rate": 0.0, "train_split": "train[:10%]"}),
    ],
)
def test_the_command_gives_the_same_configuration(recipe, options, monkeypatch):
    trial = Trial("a", "mixer", 7, recipe, options)
    assert parsed_config(trial.command(Path("a folder/run")), monkeypatch) == trial.config
    assert trial.config.seed == 7


class Clock:
    """The time that a test sets."""

    now = 0.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def make_progress(folder, capsys, trials):
    """Return the progress of trials, and a function that returns what an update shows."""
    progress = module._Progress(trials, folder, show_progress=True)

    def shown(*running):
        capsys.readouterr()
        progress.update(running)
        return capsys.readouterr().err.rpartition("\r")[2].strip()

    return progress, shown


def write_epochs(folder, trial, number):
    run = RunFolder(folder / "runs" / trial.name)
    run.path.mkdir(parents=True, exist_ok=True)
    run.write_history([{"epoch": i + 1, "step": 4 * (i + 1)} for i in range(number)])


def test_the_time_left_is_that_of_the_models(tmp_path, clock, capsys):
    a, b, c = (Trial(n, n[0], 0, "shapes", SMOKE | {"total_epochs": 10}) for n in ("m0", "m1", "n"))
    write_epochs(tmp_path, a, 2)  # before this study; takes no time of it
    progress, shown = make_progress(tmp_path, capsys, [a, b, c])
    assert "training: 0.2 of 3 runs" in shown(a) and "time left unknown, m0" in shown(a)
    clock.now = 30
    write_epochs(tmp_path, a, 5)  # 100 s a run
    line = shown(a)  # 50 s of m0, 100 s of m1, and 100 s of n, the mean of all models
    assert "training: 0.5 of 3 runs" in line and "04:10 left, m0" in line
    clock.now = 50
    write_epochs(tmp_path, a, 7)
    write_epochs(tmp_path, c, 1)  # 200 s a run
    line = shown(a, c)  # 30 s, 100 s and 180 s, for two at the same time
    assert "training: 0.8 of 3 runs" in line and "02:35 left, m0, n" in line
    progress.close()


def test_runs_at_the_same_time_share_the_time_left(tmp_path, clock, capsys):
    trials = [Trial(n, "m", 0, "shapes", SMOKE | {"total_steps": 40}) for n in ("a", "b", "c")]
    progress, shown = make_progress(tmp_path, capsys, trials)
    clock.now = 10
    for trial in trials[:2]:
        write_epochs(tmp_path, trial, 5)  # 20 of 40 steps, so 20 s a run
    line = shown(*trials[:2])
    assert "training: 1.0 of 3 runs" in line and "00:20 left, a, b" in line
    progress.close()


def test_progress_is_hidden_without_a_terminal(tmp_path, capsys):
    progress = module._Progress([TINY], tmp_path, None)
    progress.update([TINY])
    progress.close()
    assert not capsys.readouterr().err


def test_a_process_that_does_not_train_yet_ends_with_its_study():
    command = [sys.executable, "-m", "training.studies.run_process", "train", "--help"]
    result = subprocess.run(command, stdin=subprocess.DEVNULL, cwd=ROOT)
    assert result.returncode == -signal.SIGTERM
