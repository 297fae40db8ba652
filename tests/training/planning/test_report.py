import dataclasses
import importlib.metadata
import json

import pytest

from training.config import Config
from training.planning.candidates import Candidate
from training.planning.footprint import Footprint
from training.planning.report import as_entries, as_tables
from training.planning.search import Outcome
from training.planning.topology import CHIPS, Topology

pytestmark = pytest.mark.backend("torch")

TARGET = Topology("v5e:2x2", CHIPS["v5e"], (None,) * 4)
GIB = 2**30
FITS = Footprint(
    images=512,
    fits=True,
    seconds=60.0,
    total_bytes=12 * GIB,
    argument_bytes=3 * GIB,
    batch_bytes=2 * GIB,
    temporary_bytes=9 * GIB - 2**20,
    code_bytes=2**20,
    flops=197e12 / 4,
    moved_bytes=819e9,
)
REFUSED = Footprint(images=1024, fits=False, seconds=5.0, total_bytes=20 * GIB)


@pytest.fixture(autouse=True)
def libtpu(monkeypatch):
    monkeypatch.setattr(importlib.metadata, "version", lambda package: "1.2.3")


def words(tables):
    return [" ".join(f"{name.strip()}: {value};" for name, value in t.items()) for t in tables]


def test_a_batch_that_fits():
    outcome = Outcome(FITS, Candidate(Config()), None, None)
    (text,) = words(as_tables(outcome, TARGET))
    for part in (
        "compiled, not run: with libtpu 1.2.3 for v5e:2x2; chips: 4;",
        "batch: 512 images, 128 per chip;",
        "memory per chip: 12.00 GiB of 15.75 GiB: it fits;",
        "variables and batch: 3.00 GiB; temporaries: 9.00 GiB; program: 1.00 MiB;",
        "next batch: 2.00 GiB, which fits while a step runs;",
        "FLOPs per chip: 49,250 G per step, 385 G per image;",
        "bytes moved per chip: 819 G per step;",
        "estimated time: 250 ms compute, 1,000 ms memory;",
        "limited by: memory bandwidth, according to this estimate;",
    ):
        assert part in text
    assert "it fits with" not in text
    full = dataclasses.replace(FITS, batch_bytes=4 * GIB)
    (text,) = words(as_tables(Outcome(full, Candidate(Config()), None, None), TARGET))
    assert "next batch: 4.00 GiB, which does not fit while a step runs;" in text


@pytest.mark.parametrize(
    "fitting, largest, expected",
    [
        (
            Candidate(Config(), "--model-devices 2"),
            FITS,
            ["it fits with: --model-devices 2;", "largest batch: that fits; batch: 512 images"],
        ),
        (
            None,
            None,
            ["it fits with: no option that was tried", "largest batch: no batch fits"],
        ),
    ],
)
def test_a_batch_that_does_not_fit(fitting, largest, expected):
    tables = as_tables(Outcome(REFUSED, fitting, largest, REFUSED), TARGET)
    text = " ".join(words(tables))
    assert "memory per chip: 20.00 GiB or more of 15.75 GiB: it does not fit;" in text
    assert "refused: a batch of 1,024 images" in text
    for part in expected:
        assert part in text


def test_entries_are_complete_and_json():
    outcome = Outcome(REFUSED, Candidate(Config(), "--model-devices 2"), FITS, REFUSED)
    entries = json.loads(json.dumps(as_entries(outcome, TARGET)))
    assert entries["run"] is False and entries["compiler"] == "libtpu 1.2.3"
    assert (entries["topology"], entries["chips"]) == ("v5e:2x2", 4)
    assert entries["batch"]["fits"] is False and entries["fits_with"] == "--model-devices 2"
    assert entries["refused_batch"]["images"] == 1024
    largest = entries["largest_batch"]
    assert largest["images"] == 512 and largest["flops_per_image"] == 197e12 / 512
    assert largest["room_for_the_next_batch"] is True
    assert largest["estimated_compute_seconds"] == 0.25
    assert largest["estimated_memory_seconds"] == 1.0
    assert largest["estimated_limit"] == "memory bandwidth"
