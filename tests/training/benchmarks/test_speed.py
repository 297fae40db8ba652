import dataclasses
import functools
import json

import keras
import pytest
from PIL import Image

from tests.support.command_line import flat
from tests.support.speed import BATCH, small_task
from training.benchmarks import speed, speed_contestants, speed_memory
from training.errors import UserError

OPTIONS = (
    *("--variants", "S/32", "--batch-sizes", str(BATCH)),
    *("--repeats", "2", "--seconds", "0.01"),
)


@pytest.fixture
def small(monkeypatch):
    """Let every variant be a small model, and torch.compile trace it but generate no code.

    The code takes a minute; `test_speed_contestants.py` generates it once.
    """
    monkeypatch.setattr(speed, "task_of", small_task)
    if keras.backend.backend() == "torch":
        import torch

        traced = functools.partial(torch.compile, backend="eager")
        monkeypatch.setattr(torch, "compile", traced)


@pytest.mark.long
def test_measurement_is_complete(small):
    """The speed itself is not asserted."""
    result = speed.measure(["S/32"], [BATCH], ["inference", "training"], "float32", 3, 0.01)
    assert [(cell.what, cell.variant, cell.batch_size) for cell in result.speeds] == [
        ("inference", "S/32", BATCH),
        ("training", "S/32", BATCH),
    ]
    assert not result.memory and not result.missing_packages and result.cores > 0
    for cell in result.speeds:
        assert [s.name for s in cell.ours] == [cls.name for cls in speed_contestants.ours()]
        names = [cls.name for cls in speed_contestants.opponents()]
        assert [s.name for s in cell.opponents] == names and len(names) == 2
        for contestant in (*cell.ours, *cell.opponents):
            assert len(contestant.all_batch_seconds) == 3
            assert contestant.batch_seconds in contestant.all_batch_seconds
            assert contestant.images_per_second == pytest.approx(BATCH / contestant.batch_seconds)
            assert contestant.to_best_lowest <= contestant.to_best_highest
            limit = cell.limit_seconds / contestant.batch_seconds
            assert contestant.of_limit == pytest.approx(limit) and contestant.first_call_seconds > 0
        fastest = min(cell.opponents, key=lambda s: s.batch_seconds)
        assert (cell.best, fastest.to_best) == (fastest.name, 1)
        default = cell.ours[0]
        assert default.to_best == pytest.approx(fastest.batch_seconds / default.batch_seconds)
    json.dumps(dataclasses.asdict(result))


@pytest.mark.long
@pytest.mark.backend("jax")  # the fastest; the command prints the same on each
def test_the_command_prints_tables_and_writes_a_figure(small, call, monkeypatch, tmp_path):
    monkeypatch.setattr(speed_memory, "_peak_in_new_process", lambda name, *others: 2e6)
    folder = tmp_path / "speed"
    status, out, err = call("benchmark", "speed", *OPTIONS, "--output-dir", folder)
    assert status == 0 and "measuring" in err
    for words in ("S/32, batch 4, inference", "S/32, batch 4, training", "keras_mixer", "to best"):
        assert words in flat(out)
    assert len(json.loads((folder / "speed.json").read_text())["speeds"]) == 2
    with Image.open(folder / "speed.png") as figure:
        assert figure.width > 500
    status, out, _ = call("benchmark", "speed", *OPTIONS, "--what", "memory", "--json")
    (memory,) = json.loads(out)["memory"]
    assert status == 0 and memory["to_best"] == 1
    assert set(memory["peak_megabytes"].values()) == {2.0}


@pytest.mark.backend("jax")
def test_the_command_works_without_flax(small, call, monkeypatch):
    monkeypatch.setattr(speed_contestants, "FLAX_PACKAGES", ("optax", "no_such_package"))
    status, out, _ = call("benchmark", "speed", *OPTIONS, "--what", "inference")
    assert status == 0
    assert "hand-written" in out and "Flax" not in out.partition("Flax was left out")[0]
    assert 'no_such_package is missing. Install it with `pip install -e ".[benchmark]"`' in flat(
        out
    )


@pytest.mark.slow  # one of the processes waits for torch.compile
def test_memory_is_measured_in_processes_of_their_own():
    memory = speed_memory.measure("S/32", 1, "float32")
    names = [cls.name for cls in speed_contestants.ours() + speed_contestants.opponents()]
    assert list(memory.peak_megabytes) == names
    for peak in memory.peak_megabytes.values():
        assert peak > 2 * 76  # weights and momentum
    assert 0.3 < memory.to_best < 3


@pytest.mark.backend("torch")
@pytest.mark.parametrize(
    "option, value", [("--batch-sizes", "0"), ("--repeats", "0"), ("--seconds", "-1")]
)
def test_invalid_options(call, option, value):
    status, _, err = call("benchmark", "speed", option, value)
    assert status == 2
    assert f"{option} must be" in flat(err) and f"Received: {value}." in flat(err)


@pytest.mark.backend("torch")
def test_out_of_memory_is_a_user_error(monkeypatch):
    def fail(*options):
        raise RuntimeError("RESOURCE_EXHAUSTED: Out of memory")

    monkeypatch.setattr(speed, "compare", fail)
    with pytest.raises(UserError, match="Received: H/14 in --variants with 4096 in --batch-sizes"):
        speed.measure(["H/14"], [4096], ["training"], "float32", 1, 1.0)
