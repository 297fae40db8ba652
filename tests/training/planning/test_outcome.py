"""Which steps are compiled, and what is concluded, by a compiler that only counts."""

import dataclasses

import pytest

from training.config import Config, Data, Hardware, Model
from training.planning.footprint import Footprint
from training.planning.outcome import search
from training.planning.ways_to_fit import ways

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
    return [way.options for way in ways(config, chips)]


def test_the_order_of_the_ways():
    split = [f"--rematerialize --model-devices {n}" for n in (2, 4, 8)]
    assert options(CONFIG, 1, 8) == ["", "--rematerialize", *split]
    assert options(CONFIG, 4, 8) == ["", "--rematerialize", split[2]]
    assert options(CONFIG, 1, 1) == ["", "--rematerialize"]
    assert options(REMATERIALIZED, 1, 4) == ["", "--model-devices 2", "--model-devices 4"]
    assert options(REMATERIALIZED, 1, 1) == [""]
    assert len(options(CONFIG, 1, 1024)) == 2 + 7  # 128 hidden units are the smallest share of all


def test_a_way_is_what_its_options_say():
    for way in ways(CONFIG, 8):
        model_devices = way.config.hardware.model_devices
        assert way.config.model.rematerialize == ("--rematerialize" in way.options)
        assert f"--model-devices {model_devices}" in way.options or model_devices == 1
        batch = way.with_batch(24)
        assert batch.data.batch_size == 24 and batch.model == way.config.model


class Compiler:
    """Has room for `room` images, twice as many rematerialised, and as often as it is split."""

    def __init__(self, room):
        self.room = room
        self.asked = []

    def __call__(self, way, images):
        self.asked.append((way.options, images))
        config = way.config
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
def test_the_first_way_that_fits(room, fitting, compilations):
    compiler = Compiler(room)
    outcome = search(compiler, CONFIG, chips=8, multiple=0)
    assert outcome.asked.images == 1024 and outcome.asked.fits == (fitting == "")
    assert (outcome.fitting and outcome.fitting.options) == fitting
    assert len(compiler.asked) == compilations
    assert outcome.largest is None and outcome.refused is None


def test_a_search_is_for_the_step_as_asked_and_compiles_nothing_twice():
    compiler = Compiler(300)
    outcome = search(compiler, CONFIG, chips=8, multiple=64)
    assert outcome.fitting.options == "--rematerialize --model-devices 2"
    assert (outcome.largest.images, outcome.refused.images) == (256, 320)
    assert len(set(compiler.asked)) == len(compiler.asked)
    none = search(Compiler(63), CONFIG, chips=8, multiple=64)
    assert none.largest is None and none.refused.images == 64
