"""Messages about memory that is exhausted and images that are missing."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from training.config import Config
from training.errors import UserError, out_of_memory_as_user_error
from training.recipes import RECIPES
from training.run import train as fit
from training.run.failures import as_user_errors
from training.run.folder import RunFolder

TINY = RECIPES["tiny"].CONFIG


def with_data(**fields):
    return dataclasses.replace(TINY, data=dataclasses.replace(TINY.data, **fields))


def test_a_model_too_large_for_any_memory(tmp_path):
    model = dataclasses.replace(TINY.model, channels_mlp_dim=10**14)
    with pytest.raises(UserError, match="must fit into the memory.*--batch-size 128 with.*8 pixe"):
        fit.train(dataclasses.replace(TINY, model=model), RunFolder(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 17179869184 bytes."),
        RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to"),
        ValueError("OOM when allocating tensor with shape[64,3072]"),
        np._core._exceptions._ArrayMemoryError((10**14,), np.dtype("float32")),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_of_all_backends_that_memory_is_exhausted(error):
    with pytest.raises(UserError, match="memory.*--accumulation-steps.*--rematerialize"):
        with as_user_errors(Config()):
            raise error


def test_the_message_about_memory_has_the_options_of_the_command():
    with pytest.raises(UserError, match="Received: --batch-size 64, which do not fit. Pass less."):
        with out_of_memory_as_user_error("--batch-size 64", "Pass less."):
            raise MemoryError


@pytest.mark.parametrize("error", [UserError("mine"), ValueError("no sign"), KeyboardInterrupt()])
def test_other_errors_are_unchanged(error):
    with pytest.raises(type(error)) as raised:
        with as_user_errors(Config()):
            raise error
    assert raised.value is error


def test_an_image_deleted_during_the_run(tmp_path, monkeypatch):
    images = tmp_path / "some photos"
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), "uint8")
    for number in range(20):
        path = images / "train" / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)

    def cached(source, data):  # runs after the images were listed, and before the training
        for path in images.rglob("1*.png"):
            path.unlink()
        return source

    monkeypatch.setattr(fit, "cached", cached)
    config = with_data(source=f"folder:{images}", batch_size=2)
    with pytest.raises(UserError, match="must stay where.*/some photos/train.*no longer exists"):
        fit.train(config, RunFolder(tmp_path / "run"))
