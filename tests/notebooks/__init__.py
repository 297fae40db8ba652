"""Execute notebooks offline, each in its own kernel and working folder.

`python -m tests.notebooks [NAME …]` saves the outputs in the files; without names, in all of them.
"""

import os
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"
SECONDS_PER_CELL = 600


def names():
    return sorted(path.stem for path in FOLDER.glob("*.ipynb"))


def read(name):
    return nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)


def execute(name):
    """Return a notebook with the outputs of an offline run."""
    notebook = read(name)
    environment = {**os.environ, "KERAS_MIXER_OFFLINE": "1", "TF_CPP_MIN_LOG_LEVEL": "2"}
    with tempfile.TemporaryDirectory() as folder:
        client = NotebookClient(
            notebook,
            timeout=SECONDS_PER_CELL,
            kernel_name="python3",
            resources={"metadata": {"path": folder}},
            record_timing=False,
            coalesce_streams=True,
            # Keep TensorFlow's C++ log messages about the hardware out of the outputs.
            extra_arguments=["--IPKernelApp.capture_fd_output=False"],
        )
        return client.execute(env=environment)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def text(notebook):
    """Return all that the cells of a notebook printed and returned."""
    pieces = []
    for cell in code_cells(notebook):
        for output in cell.outputs:
            pieces.append(output.get("text") or output.get("data", {}).get("text/plain", ""))
    return "\n".join(pieces)


def figures(notebook):
    """Return the PNG figures of a notebook, in base64."""
    return [
        output.data["image/png"]
        for cell in code_cells(notebook)
        for output in cell.outputs
        if "image/png" in output.get("data", {})
    ]


def save(name, notebook):
    nbformat.write(notebook, FOLDER / f"{name}.ipynb")
