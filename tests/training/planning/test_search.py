"""The steps that a search compiles and its outcome, with a fake compiler."""

import dataclasses

import pytest

from training.config import Config, Data, Hardware, Model
from training.planning.candidates import candidates
from training.planning.footprint import Footprint
from training.planning.search import search

pytestmark = pytest.mark.backend("torch")

CONFIG = Config(
    data=Data(source="imagenet", image_size=224, batch_size=1024),
    model=Model(variant="B/16"),
)
REMATERIALIZED = dataclasses.replace(
    CONFIG, model=dataclasses.replace(CONFIG.model, rematerialize=True)
)


def options(config, model_devices, chips):
    hardware = Hardware(model_devices=model_devices)
    config = dataclasses.replace(config, hardware=hardware)
    return [candidate.options for candidate in candidates(config, chips)]


def test_order_of_the_candidates():
    sharded = [f"--rematerialize --model-devices {n}" for n in (2, 4, 8)]
    assert options(CONFIG, 1, 8) == ["", "--rematerialize", *sharded]
    assert options(CONFIG, 4, 8) == ["", "--rematerialize", sharded[2]]
    assert options(CONFIG, 1, 1) == ["", "--rematerialize"]
    assert options(REMATERIALIZED, 1, 4) == ["", "--model-devices 2", "--model-devices 4"]
    assert options(REMATERIALIZED, 1, 1) == [""]
    assert len(options(CONFIG, 1, 1024)) == 2 + 7  # 128 = 2**7 divides every size


def test_candidates_match_their_options():
    for candidate in candidates(CONFIG, 8):
        model_devices = candidate.config.hardware.model_devices
        assert candidate.config.model.rematerialize == ("--rematerialize" in candidate.options)
        assert f"--model-devices {model_devices}" in candidate.options or model_devices == 1
        batch = candidate.with_batch(24)
        assert batch.data.batch_size == 24 and batch.model == candidate.config.model


class Compiler:
    """Has memory for `room` images, twice that if rematerialized, times the number of shards."""

    def __init__(self, room):
        self.room = room
        self.asked = []

    def __call__(self, candidate, images):
        self.asked.append((candidate.options, images))
        config = candidate.config
        room = self.room * (1 + config.model.rematerialize) * config.hardware.model_devices
        return Footprint(images, fits=images <= room, seconds=0.0, total_bytes=None)


@pytest.mark.parametrize(
    "room, fitting, compilations",
    [
        (1024, "", 1),
        (512, "--rematerialize", 2),
        (256, "--rematerialize --model-devices 2", 3),
        (64, "--rematerialize --model-devices 8", 5),
        (63, None, 5),
    ],
)
def test_first_candidate_that_fits(room, fitting, compilations):
    compiler = Compiler(room)
    outcome = search(compiler, CONFIG, chips=8, multiple=0)
    assert outcome.asked.images == 1024 and outcome.asked.fits == (fitting == "")
    assert (outcome.fitting and outcome.fitting.options) == fitting
    assert len(compiler.asked) == compilations
    assert outcome.largest is None and outcome.refused is None


def test_search_for_the_largest_batch_compiles_nothing_twice():
    compiler = Compiler(300)
    outcome = search(compiler, CONFIG, chips=8, multiple=64)
    assert outcome.fitting.options == "--rematerialize --model-devices 2"
    assert (outcome.largest.images, outcome.refused.images) == (256, 320)
    assert len(set(compiler.asked)) == len(compiler.asked)
    none = search(Compiler(63), CONFIG, chips=8, multiple=64)
    assert none.largest is None and none.refused.images == 64
