"""Messages about memory that is exhausted."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from training.config import Config
from training.errors import UserError, out_of_memory_as_user_error
from training.recipes import RECIPES
from training.run import train as fit
from training.run.failures import training_out_of_memory_as_user_error
from training.run.folder import RunFolder

TINY = RECIPES["tiny"].CONFIG


def with_data(**fields):
    return dataclasses.replace(TINY, data=dataclasses.replace(TINY.data, **fields))


def test_a_model_too_large_for_any_memory(monkeypatch, tmp_path):
    monkeypatch.setattr(Config, "check", lambda self: None)  # which refuses most of them
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
        with training_out_of_memory_as_user_error(Config()):
            raise error


def test_the_message_about_memory_has_the_options_of_the_command():
    with pytest.raises(UserError, match="fit: RES.*Out of memory allocating 9 bytes. Pass less.$"):
        with out_of_memory_as_user_error("--batch-size 64", "Pass less."):
            raise RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes.\nmore")


@pytest.mark.parametrize(
    "allocate, described",
    [
        (lambda: np.empty(2**47), "Unable to allocate 1.00 PiB for an array with shape"),
        (lambda: [None] * 2**60, r"no memory for `.*\* 2\*\*60.*` in <lambda>"),
    ],
)
def test_a_memory_error_is_explained_by_what_was_allocated(allocate, described):
    message = f"memory of the computer. Received: {described}.*, with --batch-size 64. Close"
    with pytest.raises(UserError, match=message):
        with out_of_memory_as_user_error("--batch-size 64", "Pass less."):
            allocate()


@pytest.mark.parametrize("error", [UserError("mine"), ValueError("no sign"), KeyboardInterrupt()])
def test_other_errors_are_unchanged(error):
    with pytest.raises(type(error)) as raised:
        with training_out_of_memory_as_user_error(Config()):
            raise error
    assert raised.value is error


def truncate(path):
    path.write_bytes(path.read_bytes()[:-40])


def empty(path):
    path.write_bytes(b"")


def replace(path):
    path.write_text("no image")


TORCH = pytest.mark.backend("torch")  # the errors are of tf.data under every backend


@pytest.mark.parametrize(
    "change, fault",
    [
        pytest.param(Path.unlink, "cannot be opened: No such file or directory", id="deleted"),
        pytest.param(truncate, "s PNG data are corrupt", id="truncated", marks=TORCH),
        pytest.param(empty, " is empty", id="emptied", marks=TORCH),
        pytest.param(replace, " is not an image of a known format", id="replaced", marks=TORCH),
    ],
)
def test_images_that_change_during_a_run(tmp_path, monkeypatch, change, fault):
    """The error names them; when they are restored, the same command resumes."""
    images = tmp_path / "some photos"
    pixels = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 3), "uint8")
    for number, image in enumerate(pixels):
        path = images / "train" / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    before = {path: path.read_bytes() for path in images.rglob("1*.png")}

    def change_images(source, data):  # after the images were listed
        for path in before:
            change(path)
        return source

    monkeypatch.setattr(fit, "cached", change_images)
    config = with_data(source=f"folder:{images}", batch_size=2)
    run = RunFolder(tmp_path / "run")
    message = f"(?s)must stay as they were.*/some photos/train.*: it ?({fault}).*resumes from the"
    with pytest.raises(UserError, match=message) as raised:
        fit.train(config, run, verbose=0)
    assert len(str(raised.value).splitlines()) < 15
    monkeypatch.undo()
    for path, contents in before.items():
        path.write_bytes(contents)
    fit.train(config, run, verbose=0)
    assert run.is_finished()
