"""Process that writes exported models on another backend than the running one."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import training
from training.errors import UserError
from training.export.formats import FORMATS

ROOT = Path(training.__file__).resolve().parent.parent


def write_in_process(model, backend, targets, metadata):
    """Write a model in several formats, in a process with another backend.

    The model is passed on as a temporary `.keras` file. The process computes on the CPU, since the
    accelerators are in use here.

    Args:
        model: A model from `training.export.serving_model`.
        backend: Keras backend of the process.
        targets: `{format: path}`.
        metadata: Text for `write` of the formats.

    Raises:
        UserError: If the process fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        model.save(path)
        request = {
            "model": os.fspath(path),
            "targets": {name: os.fspath(target.absolute()) for name, target in targets.items()},
            "metadata": metadata,
        }
        result = subprocess.run(
            [sys.executable, "-P", "-m", __name__],
            input=json.dumps(request),
            capture_output=True,
            encoding="utf-8",
            errors="backslashreplace",
            env={
                **os.environ,
                "KERAS_BACKEND": backend,
                "PYTHONPATH": os.pathsep.join(
                    filter(None, [os.fspath(ROOT), os.environ.get("PYTHONPATH")])
                ),
                "PYTHONIOENCODING": "utf-8",
                "CUDA_VISIBLE_DEVICES": "-1",
                "KERAS_TORCH_DEVICE": "cpu",
                "TF_CPP_MIN_LOG_LEVEL": "2",
            },
        )
    if result.returncode:
        lines = [line for line in result.stderr.splitlines() if line.strip()]
        raise UserError(
            f"--to {' '.join(targets)} must be written on the backend {backend}, in a process of "
            f"its own. Received: {lines[-1] if lines else f'status {result.returncode}'} "
            f"there. Set KERAS_BACKEND={backend} to see the whole error."
        )


def main():
    """Write what the standard input asks for."""
    request = json.load(sys.stdin)
    import keras

    import keras_mixer.layers  # noqa: F401  registers them
    from training.studies.models.registration import registered_layers

    registered_layers()
    # Not a file from someone else: `write_in_process` saved it from a model in memory.
    model = keras.saving.load_model(request["model"], compile=False, safe_mode=False)
    model(keras.ops.zeros((1, *model.input_shape[1:])))  # Keras exports what was called
    for name, path in request["targets"].items():
        FORMATS[name].module.write(model, Path(path), request["metadata"])


if __name__ == "__main__":
    main()
