"""`benchmark` on the command line."""

import functools
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from tests.support.command_line import flat


@pytest.fixture
def small_benchmark(monkeypatch):
    from training.benchmarks import data

    small = functools.partial(data.measure, files=16, image_size=16, batch_size=4)
    monkeypatch.setattr(data, "measure", small)
    return data


@pytest.mark.long
@pytest.mark.backend("torch")
def test_benchmark_data_prints_every_pipeline(call, small_benchmark):
    names = [small_benchmark.PLAIN, small_benchmark.OURS, *small_benchmark.AUGMENTATIONS]
    names.append(small_benchmark.PRETRAINING)
    arguments = ("benchmark", "data", "--batches", "1", "--repeats", "1")
    status, out, err = call(*arguments)
    assert status == 0 and "measuring" in err
    rows = [line.split("│")[1].strip() for line in out.splitlines() if line.startswith("│")]
    assert rows == names
    for words in ("images/s", "to plain", "times the sum", "16 JPEGs", "cores"):
        assert words in flat(out)
    status, out, _ = call(*arguments, "--json")
    result = json.loads(out)
    assert status == 0
    assert [speed["pipeline"] for speed in result["speeds"]] == names
    assert (result["batches"], result["repeats"]) == (1, 1)


@pytest.mark.long
@pytest.mark.backend("torch")
def test_ctrl_c_ends_a_benchmark(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-m", "training", "benchmark", "data", "--repeats", "1000"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1", "TMPDIR": str(tmp_path)},
    )
    deadline = time.monotonic() + 120
    while not list(tmp_path.rglob("*.json")) and time.monotonic() < deadline:
        time.sleep(0.1)  # until the files are examined
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Traceback" not in err and not list(tmp_path.rglob("*.jpg"))


@pytest.fixture
def small_patches(monkeypatch):
    from training.benchmarks import patches

    for name, value in {"HIDDEN_DIM": 8, "MLP_DIM": 16, "BLOCKS": 1, "TOKENS_PER_BATCH": 1}.items():
        monkeypatch.setattr(patches, name, value)
    monkeypatch.setattr(patches, "VIT", patches.VitSize(16, 8, 1, 16, 2))


@pytest.mark.backend("torch")
def test_benchmark_patches_prints_points_and_exponents(call, small_patches, tmp_path):
    figure = tmp_path / "patches.png"
    arguments = ("benchmark", "patches", "--image-sizes", 32, 48, 64, "--repeats", 1)
    status, out, _ = call(*arguments, "--figure", figure)
    assert status == 0 and figure.stat().st_size > 0
    for words in ("points", "exponents", "Mixer", "ViT", "64", " to "):
        assert words in flat(out)
    status, out, _ = call(*arguments, "--json")
    assert status == 0 and len(json.loads(out)["points"]) == 9


@pytest.mark.backend("torch")
def test_benchmark_precision_prints_each_dtype(call, monkeypatch):
    from training.benchmarks import precision

    speed = precision.Speed("bfloat16", 12.345, 1.5, (1.25, 1.75), 0.01, "oneDNN: none")
    result = precision.Precision(
        "S/32", "torch", 2, 4, False, True, 1, ("amx_tile", "bf16"), (speed,)
    )
    received = []
    monkeypatch.setattr(precision, "measure", lambda *a: received.append(a) or result)
    status, out, _ = call(
        *("benchmark", "precision", "--variant", "S/32", "--batch-size", "2", "--images", "4"),
        *("--repeats", "1", "--jit-compile", "yes"),
    )
    assert status == 0 and received == [("S/32", 2, 4, 1, False, True)]
    for words in ("amx_tile, bf16", "bfloat16", "12.3", "1.25 to", "oneDNN:"):
        assert words in flat(out)


@pytest.mark.backend("torch")
def test_benchmark_rematerialization_prints_ratios(call, monkeypatch):
    from training.benchmarks import rematerialization

    values = (
        "S/32",
        "torch",
        2,
        "auto",
        1,
        "the profiler",
        8.0,
        2.0,
        0.25,
        9.0,
        3.0,
        1 / 3,
        1,
        2,
        2,
    )
    result = rematerialization.Rematerialization(*values)
    monkeypatch.setattr(rematerialization, "measure", lambda *a: result)
    status, out, _ = call("benchmark", "rematerialization", "--repeats", "1")
    assert status == 0
    for words in ("memory ratio 0.25", "resident ratio 0.333", "time ratio 2", "the profiler"):
        assert words in flat(out)


@pytest.mark.backend("torch")
@pytest.mark.parametrize(
    "sizes", [("224", "448"), ("32", "64", "64"), ("32", "64", "72"), ("0", "16", "32")]
)
def test_benchmark_patches_refuses_image_sizes(call, sizes):
    status, _, err = call("benchmark", "patches", "--image-sizes", *sizes)
    assert status == 2
    assert f"ascending. Received: {' '.join(sizes)}. Pass 224 448 896, for example." in flat(err)


@pytest.mark.backend("torch")
@pytest.mark.parametrize("name", ["missing/patches.svg", "patches", "patches.jpeg2000"])
def test_benchmark_patches_refuses_a_figure_before_measuring(call, tmp_path, name):
    status, _, err = call("benchmark", "patches", "--figure", tmp_path / name)
    assert status == 2 and "Pass patches.svg, for example." in flat(err)


@pytest.mark.backend("torch")
def test_benchmark_variants_prints_speeds_and_accuracies(call, monkeypatch, tmp_path):
    from training.benchmarks import variants

    small = functools.partial(variants.measure, image_size=32)
    monkeypatch.setattr(variants, "measure", small)
    arguments = ("benchmark", "variants", "--variants", "S/32", "--batch-size=1", "--repeats=1")
    status, out, _ = call(*arguments, f"--output-dir={tmp_path / 'new'}")
    assert status == 0
    for words in ("S/32", "GFLOPs", "JFT-300M, 5 epochs", "68.70", "variants.png"):
        assert words in flat(out)
    names = sorted(path.name for path in (tmp_path / "new").iterdir())
    assert names == ["accuracies.csv", "variants.csv", "variants.png"]
    head, row = (tmp_path / "new" / "variants.csv").read_text().splitlines()
    assert head.startswith("variant,parameters,gigaflops") and row.startswith("S/32,")
    status, out, _ = call(*arguments, "--json")
    assert status == 0
    assert [row["variant"] for row in json.loads(out)["variants"]] == ["S/32"]


@pytest.mark.backend("torch")
def test_benchmark_variants_refuses_the_same_twice(call):
    status, _, err = call("benchmark", "variants", "--variants", "S/32", "S/32")
    assert status == 2
    assert "--variants must be one or more different ones. Received: S/32 S/32. Pass" in flat(err)
