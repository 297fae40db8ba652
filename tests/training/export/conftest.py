import dataclasses
from pathlib import Path

import pytest

from tests.support.exported import gray_mixer
from training.export.exporter import export_formats
from training.export.formats import FORMATS
from training.model_argument import LoadedModel


@dataclasses.dataclass
class Exported:
    """A small model, and its exports by their formats, in one folder."""

    loaded: LoadedModel
    folder: Path
    exports: dict


@pytest.fixture(scope="session")
def exported(tmp_path_factory):
    """A small model of gray images in all formats, each written on the backend that can."""
    names = (*(f"digit {i}" for i in range(9)), "é")
    model = gray_mixer(hidden_dim=256, channels_mlp_dim=512)  # more bytes than the operations
    loaded = LoadedModel(model, names, evaluation_transform="resize-crop")
    folder = tmp_path_factory.mktemp("exported")
    targets = {name: folder / f"model{row.suffix}" for name, row in FORMATS.items()}
    exports = export_formats(loaded, targets, origin="runs/small")
    return Exported(loaded, folder, {export.format: export for export in exports})
