"""Published sizes in every format, with random weights whose classes differ by much."""

import pytest

import keras_mixer
from tests.support.models import randomize
from training.export.exporter import export_formats
from training.export.formats import FORMATS
from training.export.images import crop_photos
from training.model_argument import LoadedModel

pytestmark = pytest.mark.slow

IMAGES = 200


@pytest.mark.parametrize(("constructor", "size"), [("MixerB16", 224), ("MixerS16", 448)])
def test_logits_and_classes_of_200_images(constructor, size, tmp_path):
    build = getattr(keras_mixer, constructor)
    model = build(weights=None, input_shape=(size, size, 3), classifier_activation=None)
    randomize(model)
    images = crop_photos(IMAGES, "resmall-crop", (size, size, 3))
    targets = {name: tmp_path / f"model{row.suffix}" for name, row in FORMATS.items()}
    for export in export_formats(LoadedModel(model), targets, images):
        print(export)
        assert export.num_bytes < 1.1 * 4 * model.count_params()
        assert export.comparison.difference < 1e-4 and export.comparison.agreement == 1
        assert export.comparison.images == IMAGES
