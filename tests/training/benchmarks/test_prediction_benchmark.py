"""The benchmark of `predict`."""

import dataclasses
import json

import pytest

from tests.support.command_line import flat
from tests.support.models import small_mixer
from training.benchmarks import prediction, process_memory
from training.benchmarks.mixed_photos import write_photos


def test_speeds_are_complete(tmp_path):
    """The speed itself is not asserted."""
    paths, _ = write_photos(tmp_path / "photos", 40)
    speed = prediction.measure_speed(small_mixer(input_shape=(8, 12, 3)), paths, repeats=1)
    assert speed.images == 40
    assert min(dataclasses.astuple(speed)) > 0
    slower = min(speed.decoding, speed.model)
    assert speed.both_to_slower == pytest.approx(speed.both / slower)
    assert speed.waiting_to_slower == pytest.approx(speed.waiting / slower)
    turns = 1 / (1 / speed.decoding + 1 / speed.model)
    assert speed.turns_to_slower == pytest.approx(turns / slower)


@pytest.mark.long
@pytest.mark.backend("torch")
def test_predict_answers_every_valid_file(tmp_path):
    """The memory itself is not asserted."""
    paths, valid = write_photos(tmp_path / "photos", 90)
    model = small_mixer(input_shape=(8, 12, 3))
    memory = prediction.measure_memory(model, paths, valid, few=4)
    assert (memory.few_images, memory.images) == (4, 90)
    assert memory.valid_images == memory.predicted_images == len(valid) == 88
    if process_memory.is_measurable():
        assert min(memory.few_megabytes, memory.megabytes) > 100  # TensorFlow alone needs more
        ratio = memory.megabytes / memory.few_megabytes
        assert memory.ratio == pytest.approx(ratio, rel=0.01)
    else:
        assert memory.few_megabytes is memory.megabytes is memory.ratio is None


@pytest.fixture
def measured(monkeypatch):
    """The arguments of `measure`, which returns a fixed result."""
    memory = prediction.Memory(50, 5000, 4885, 4885, 1011, 1157, 1.144)
    speed = prediction.Speed(512, 27.0, 900.0, 26.0, 26.5, 0.963, 0.971, 0.981)
    result = prediction.Prediction("S/16", "torch", 2, 32, 1, memory, speed)
    calls = []
    monkeypatch.setattr(prediction, "measure", lambda *a: calls.append(a) or result)
    return calls


@pytest.mark.backend("torch")
def test_command_prints_memory_and_speeds(call, measured):
    arguments = ("benchmark", "prediction", "--variant", "S/16", "--images", 60, "--repeats", 1)
    status, out, _ = call(*arguments)
    assert status == 0 and measured == [("S/16", 60, 1)]
    for words in ("predicted images 4885", "megabytes 1157", "ratio 1.14", "to slower 0.963"):
        assert words in flat(out)
    status, out, _ = call(*arguments, "--json")
    assert status == 0 and json.loads(out)["memory"]["valid_images"] == 4885


@pytest.mark.backend("torch")
@pytest.mark.parametrize("images", [50, 100_001])
def test_command_refuses_a_number_of_images(call, measured, images):
    status, _, err = call("benchmark", "prediction", "--images", images)
    assert status == 2 and not measured
    assert f"at most 100000. Received: {images}. Pass 5000, for example." in flat(err)
