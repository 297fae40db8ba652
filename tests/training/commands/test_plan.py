"""`plan` as a user meets it; with the true compiler where that is installed."""

import dataclasses
import importlib.util
import json
import os
import signal
import subprocess
import sys
import threading

import pytest

from training.commands.plan import Plan
from training.config import Hardware
from training.planning import topology
from training.recipes import RECIPES

pytestmark = pytest.mark.backend("torch")  # the command itself always runs on JAX

needs_libtpu = pytest.mark.skipif(
    importlib.util.find_spec("libtpu") is None,
    reason="needs libtpu, which the extra `plan` installs into an environment of its own",
)


def environment(backend="jax"):
    return {**os.environ, "KERAS_BACKEND": backend}


def plan(*arguments, backend="jax"):
    """Run the command in a process of its own, which has not imported JAX yet."""
    return subprocess.run(
        [sys.executable, "-m", "training", "plan", *map(str, arguments)],
        capture_output=True,
        text=True,
        env=environment(backend),
        timeout=300,
    )


@needs_libtpu
def test_a_step_is_compiled_and_not_run():
    result = plan("tiny", "--tpu", "v5e:2x4", "--no-search", "--model-devices", 2, "--json")
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    assert found["run"] is False and found["compiler"].startswith("libtpu ")
    assert (found["topology"], found["chips"]) == ("v5e:2x4", 8)
    assert found["usable_bytes_per_chip"] == 15.75 * 2**30
    batch = found["batch"]
    assert batch["fits"] and found["fits_with"] == "" and found["largest_batch"] is None
    parts = (batch[f"{part}_bytes"] for part in ("argument", "temporary", "code"))
    assert batch["total_bytes"] == sum(parts) > 0
    assert batch["flops_per_image"] > 0 and batch["moved_bytes"] > 0
    seconds = {
        "compute": batch["estimated_compute_seconds"],
        "memory bandwidth": batch["estimated_memory_seconds"],
    }
    assert batch["estimated_limit"] == max(seconds, key=seconds.get)
    assert f"compiling {batch['images']} images: " in result.stderr and "fits" in result.stderr


@needs_libtpu
def test_the_largest_batch_and_what_else_helps():
    """A step that is refused and rematerialised; the search begins where nothing fits."""
    wide = ["--hidden-dim", 4096, "--num-blocks", 2, "--channels-mlp-dim", 4096]
    result = plan("tiny", "--tpu", "v5e:1x1", "--batch-size", 131072, "--granularity", 32768, *wide)
    assert result.returncode == 0, result.stderr
    assert "compiled, not run" in result.stdout and "does not fit" in result.stdout
    assert "largest batch" in result.stdout and "refused" in result.stdout
    assert "images --rematerialize: " in result.stderr


@needs_libtpu
def test_ctrl_c_ends_a_compilation():
    command = "training plan imagenet-b16 --tpu v5e:1x1 --batch-size 64".split()
    process = subprocess.Popen(
        [sys.executable, "-m", *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    threading.Timer(120, process.kill).start()
    err = ""
    while "compiling 64 images" not in err and (character := process.stderr.read(1)):
        err += character
    threading.Timer(5, process.send_signal, [signal.SIGINT]).start()  # then XLA is at work
    _, rest = process.communicate()
    assert process.returncode == 130, err + rest
    assert "Traceback" not in rest


@needs_libtpu
def test_a_device_is_a_chip():
    code = (
        "import sys\n"
        "from training.planning import topology\n"
        "topology.hide_tpus()\n"
        "for name in sys.argv[1:]:\n"
        "    print(len(topology.topology(name).devices), topology.chips_of(name))\n"
    )
    names = ("v4:2x2x2", "v5p:2x2x1", "v6e:1x1", "v5e:8x8")
    result = subprocess.run(
        [sys.executable, "-c", code, *names], capture_output=True, text=True, check=True
    )
    assert result.stdout.split() == ["8", "8", "4", "4", "1", "1", "64", "64"]


@needs_libtpu
def test_a_topology_that_there_is_not():
    result = plan("tiny", "--tpu", "v5e:3x5", "--batch-size", 15)
    assert result.returncode == 2 and "Traceback" not in result.stderr
    assert "--tpu must be a topology that libtpu knows. Received: v5e:3x5: " in result.stderr


@needs_libtpu
def test_another_backend():
    result = plan("tiny", "--tpu", "v5e:1x1", backend="tensorflow")
    assert result.returncode == 2
    assert "KERAS_BACKEND must be jax for `plan`" in result.stderr
    assert "Received: tensorflow." in result.stderr


@pytest.mark.skipif(importlib.util.find_spec("libtpu") is not None, reason="libtpu is there")
def test_without_libtpu():
    result = plan("tiny", "--tpu", "v5e:1x1")
    assert result.returncode == 2 and not result.stdout
    assert "`plan` must have libtpu" in result.stderr and "[plan,training" in result.stderr


@pytest.mark.parametrize(
    "recipe, options, expected",
    [
        ("tiny", {"tpu": "v5e-8"}, "--tpu must be one of v4, v5e, v5p, v6e, a colon, and the ch"),
        (
            "tiny",
            {"tpu": "v3:2x2"},
            "Received: v3:2x2. Pass --tpu v5e:2x4 for what Google calls v5e-8",
        ),
        ("tiny", {"tpu": "v5e:0x4"}, "--tpu must be one of "),
        ("tiny", {"granularity": 0}, "--granularity must be above 0"),
        ("imagenet21k-b16", {}, "--classes must be above 0 with --source folder:imagenet21k"),
        (
            "tiny",
            {"classes": -1},
            "Received: -1. Pass the number of classes, such as",
        ),
    ],
)
def test_mistakes_are_named_before_anything_is_imported(recipe, options, expected):
    made = Plan(RECIPES[recipe].CONFIG, **{"tpu": "v5e:2x4"} | options)
    with pytest.raises(ValueError) as caught:
        made.check()
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    "part, values, expected",
    [
        ("hardware", {"devices": 4}, "--devices must be 0 here, since --tpu gives the number"),
        ("hardware", {"model_devices": 0}, "--model-devices must be above 0"),
        ("hardware", {"model_devices": 3}, "--model-devices must divide the number of devices, 8"),
        ("hardware", {"precision": "mixed_float16"}, "--precision must not be mixed_float16 on a"),
        ("data", {"batch_size": 100}, "--batch-size must be a multiple of 8, the number of"),
        ("model", {"hidden_dim": 100}, None),
    ],
)
def test_what_the_chips_cannot_share_is_named(part, values, expected):
    config = RECIPES["tiny"].CONFIG
    config = dataclasses.replace(
        config, **{part: dataclasses.replace(getattr(config, part), **values)}
    )
    target = topology.Topology("v5e:2x4", topology.CHIPS["v5e"], tuple(range(8)))

    def check():
        Plan(config, tpu="v5e:2x4").check()
        target.distribution(config)

    if expected is None:
        check()
        return
    with pytest.raises(ValueError) as caught:
        check()
    assert expected in str(caught.value)


def test_the_hardware_is_that_of_a_run():
    config = RECIPES["imagenet-b16"].CONFIG
    config = dataclasses.replace(config, hardware=Hardware(model_devices=2))
    target = topology.Topology("v5e:2x4", topology.CHIPS["v5e"], tuple(range(8)))
    distribution = target.distribution(config)
    assert (
        distribution.precision == "mixed_bfloat16" and distribution.distribution == "model parallel"
    )
    assert (distribution.replicas, distribution.model_devices) == (4, 2)


def test_every_recipe_can_be_planned():
    for recipe in RECIPES.values():
        Plan(recipe.CONFIG, tpu="v5e:2x4", classes=21_843).check()
