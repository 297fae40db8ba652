"""Export of a model: write it, compare it in its own runtime, then put it in place."""

import contextlib
import dataclasses
import tempfile
from pathlib import Path

from training.errors import UserError
from training.export.formats import FORMATS, require_formats
from training.validation import not_writable, require_output_dir

SAVED_MODEL = "saved_model.pb"  # the file that makes a folder a SavedModel
NUM_IMAGES = 32


@dataclasses.dataclass(frozen=True)
class Export:
    """An exported model.

    Args:
        format: Name of the format.
        path: Path of the file or folder.
        num_bytes: Size of all its files, without the JSON file beside.
        backend: Keras backend that wrote it.
        comparison: The `training.export.comparison.Comparison` with the Keras model.
    """

    format: str
    path: Path
    num_bytes: int
    backend: str
    comparison: object


def export_model(model, format, path, images=None, origin=""):
    """Export a model to one format, and return the `Export`.

    It differs from `model.export` of Keras: the backend may be any, the batch size is free, the
    file has two named outputs and metadata, and it exists only if its own runtime computes the
    same from it.

    Args:
        model: A `training.model_argument.LoadedModel`, or a Keras model from pixels in [0, 255] to
            one score for each class, with a last softmax or sigmoid or without.
        format: A name in `training.export.formats.FORMATS`.
        path: Path with the suffix of the format; what is there is replaced. A JSON file with the
            metadata is written beside it.
        images: Pixels to compare on, `(images, height, width, channels)`. Defaults to crops of two
            photographs.
        origin: MODEL, for the metadata.

    Raises:
        UserError: If something is not installed, the model cannot be written in this format, or it
            computes something else there.
    """
    (export,) = export_formats(as_loaded(model), {format: Path(path)}, images, origin)
    return export


def export_formats(loaded, targets, images=None, origin=""):
    """Export a model to several formats; return the `Export`s. All are compared
    before the first one is put in place.

    Args:
        loaded: A `training.model_argument.LoadedModel`.
        targets: `{format: path}`; see `export_model`.
        images: See `export_model`.
        origin: See `export_model`.

    Raises:
        UserError: As `export_model`.
    """
    require_formats(targets)
    for name, path in targets.items():
        require_path(name, path, FORMATS[name].suffix)
    from training.export import comparison
    from training.export.images import crop_photos
    from training.export.metadata import describe_model, to_json
    from training.export.serving_model import build_serving_model

    if images is None:
        shape = loaded.model.input_shape[1:]
        images = crop_photos(NUM_IMAGES, loaded.evaluation_transform, shape)
    serving = build_serving_model(loaded)
    metadata = to_json(describe_model(loaded, origin))
    reference = comparison.compute_reference(serving, images)
    exports = []
    with contextlib.ExitStack() as stack:
        drafts = {name: stack.enter_context(draft_of(path)) for name, path in targets.items()}
        written_on = _write(serving, drafts, metadata)
        for name, draft in drafts.items():
            with _failures_as_user_errors(name):
                run = FORMATS[name].module.load(draft)
                compared = comparison.compare(run, serving, reference, images, loaded.activation)
            _require_same(name, compared)
            size = sum(file.stat().st_size for file in draft.parent.rglob("*") if file.is_file())
            exports.append(Export(name, targets[name], size, written_on[name], compared))
        for name, path in targets.items():
            put_in_place(drafts[name], path, FORMATS[name].suffix, metadata)
    return exports


def as_loaded(model):
    """Return the `LoadedModel` of a Keras model; a `LoadedModel` is returned as it is."""
    from training.keras_file import open_logits
    from training.model_argument import ACTIVATION, LoadedModel

    if isinstance(model, LoadedModel):
        return model
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        model.save(path)
        # A copy, since the last activation is taken off; the file holds what is in memory.
        logits, activation = open_logits(path, trusted=True)
    return LoadedModel(logits, activation=activation or ACTIVATION)


def require_path(name, path, suffix):
    """Raise UserError unless an export can be written to `path`, before the work.

    Args:
        name: Name of the format.
        path: Path of the file or folder.
        suffix: How it must end; "" for a folder.
    """
    if path.suffix != suffix and suffix:
        raise UserError(
            f"The path must end in {suffix} for the format {name}. Received: {path}. "
            f"Pass {path.name}{suffix}, for example."
        )
    if path.is_dir() and (suffix or not (path / SAVED_MODEL).is_file()):
        raise UserError(
            f"What is replaced must be an earlier export to {name}. Received: {path}, a folder "
            "with something else. Choose another folder or name."
        )
    require_output_dir(path.parent)


@contextlib.contextmanager
def draft_of(path):
    """Yield a path with the name of `path` in a temporary folder beside it."""
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".draft") as folder:
        yield Path(folder) / path.name


def _write(serving, drafts, metadata):
    """Write a model on the backends that can; return the backend of each format."""
    import keras

    from training.export.writer_process import write_in_process

    written_on = {name: FORMATS[name].backend for name in drafts}
    for backend in dict.fromkeys(written_on.values()):
        own = {name: draft for name, draft in drafts.items() if written_on[name] == backend}
        if backend != keras.backend.backend() or not _is_on_cpu():
            write_in_process(serving, backend, own, metadata)
            continue
        for name, draft in own.items():
            with _failures_as_user_errors(name):
                FORMATS[name].module.write(serving, draft, metadata)
    return written_on


def _is_on_cpu():
    """Return whether what is traced here runs without accelerators; PyTorch records the device."""
    import keras

    if keras.backend.backend() != "torch":
        return True
    from keras.src.backend.torch.core import get_device

    return get_device() == "cpu"


@contextlib.contextmanager
def _failures_as_user_errors(name):
    """Turn the errors of a converter or a runtime, which are of any type, into a UserError."""
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise UserError(
            f"--to {name} must be a format that has all operations of the model. Received: "
            f"{lines[0][:300].rstrip('.')}. Choose another format, or change the model."
        ) from error


def _require_same(name, compared):
    from training.export.comparison import TOLERANCE

    if compared.is_within(TOLERANCE):
        return
    raise UserError(
        f"--to {name} must compute what the Keras model computes: logits within {TOLERANCE:g} of "
        f"the largest, and the same classes. Received: a difference of {compared.difference:.2g} "
        f"for logits and {compared.probability_difference:.2g} for probabilities, and the same "
        f"class for {compared.agreement:.1%} of {compared.images} images. Nothing was exported. "
        "Choose another format."
    )


def put_in_place(draft, path, suffix, metadata):
    """Move an export from its temporary folder to its path.

    Args:
        draft: Path in the temporary folder.
        path: Path of the file or folder.
        suffix: How the path ends.
        metadata: Text of the JSON file beside it; None for a format without one.
    """
    if metadata is not None:
        json_name = f"{path.name.removesuffix(suffix)}.json"
        draft.with_name(json_name).write_text(metadata, encoding="utf-8")
    parts = sorted(draft.parent.iterdir(), key=lambda part: part == draft)  # the file itself last
    try:
        if path.is_dir():  # an earlier SavedModel, which a folder cannot replace at once
            path.replace(draft.with_name(".replaced"))
        for part in parts:
            part.replace(path.with_name(part.name))
    except OSError as error:
        replaced = draft.with_name(".replaced")
        if replaced.exists() and not path.exists():
            replaced.replace(path)
        raise not_writable(path.parent, error) from error
