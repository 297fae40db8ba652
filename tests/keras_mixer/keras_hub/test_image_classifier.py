"""The classifier: fit, predict, LoRA, quantization and saving."""

import keras
import numpy as np
import pytest

from keras_mixer.keras_hub import MixerImageClassifier
from tests.support.keras_hub import small_backbone, small_classifier
from tests.support.models import random_pixels
from tests.support.reference import LARGEST_ERROR, relative_error


@pytest.fixture
def images():
    """Raw images of another size than the model's."""
    return random_pixels((6, 30, 20, 3))


LABELS = np.array([0, 1, 2, 3, 4, 0])


@pytest.mark.long
def test_fit_and_predict_on_raw_images(images):
    classifier = small_classifier()
    classifier.compile(keras.optimizers.Adam(0.01), "auto", metrics="auto")
    history = classifier.fit(images, LABELS, batch_size=3, epochs=10, verbose=0).history
    assert history["loss"][-1] < history["loss"][0] / 2
    assert classifier.predict(images, verbose=0).shape == (6, 5)


@pytest.mark.parametrize("pooling", ["avg", "max"])
@pytest.mark.backend("torch")
def test_head(pooling, images):
    classifier = small_classifier(pooling=pooling, activation="softmax", dropout=0.5)
    features = classifier.backbone.predict(classifier.preprocessor(images), verbose=0)
    pooled = getattr(np, {"avg": "mean", "max": "max"}[pooling])(features, axis=(1, 2))
    kernel, bias = classifier.output_dense.get_weights()
    expected = keras.ops.softmax(pooled @ kernel + bias)
    probabilities = classifier.predict(images, verbose=0)
    np.testing.assert_allclose(probabilities, keras.ops.convert_to_numpy(expected), atol=1e-5)


@pytest.mark.backend("torch")
def test_channels_first(images):
    backbone = small_backbone(data_format="channels_first", image_shape=(3, 8, 12))
    classifier = small_classifier(backbone, preprocessor=None)
    ours = small_classifier(preprocessor=None)
    ours.output_dense.set_weights(classifier.output_dense.get_weights())
    scaled = images[:, :8, :12] / 127.5 - 1
    logits = classifier.predict(scaled.transpose(0, 3, 1, 2), verbose=0)
    assert relative_error(logits, ours.predict(scaled, verbose=0)) <= LARGEST_ERROR


@pytest.mark.long
@pytest.mark.backend("torch")
def test_lora_and_saving(images, tmp_path):
    classifier = small_classifier()
    classifier.backbone.enable_lora(2)
    classifier.fit(images, LABELS, verbose=0)
    tuned = classifier.predict(images, verbose=0)
    classifier.save_to_preset(str(tmp_path))
    again = MixerImageClassifier.from_preset(str(tmp_path))
    assert relative_error(again.predict(images, verbose=0), tuned) <= LARGEST_ERROR


@pytest.mark.parametrize("head_dtype", [None, "bfloat16"])
@pytest.mark.backend("torch")
def test_dtype_of_the_head(head_dtype, images):
    classifier = small_classifier(small_backbone(dtype="mixed_bfloat16"), head_dtype=head_dtype)
    expected = head_dtype or "float32"
    assert classifier.output_dense.compute_dtype == classifier.pooler.compute_dtype == expected
    again = MixerImageClassifier.from_config(classifier.get_config())
    assert again.output_dense.compute_dtype == expected
    assert again.backbone.compute_dtype == "bfloat16"


@pytest.mark.filterwarnings("ignore:Layer .* does not have a `quantize` method")
@pytest.mark.long
def test_quantization_and_saving(images, tmp_path):
    classifier = small_classifier()
    before = classifier.predict(images, verbose=0)
    classifier.quantize("int8")
    quantized = classifier.predict(images, verbose=0)
    assert 0 < relative_error(quantized, before) < 0.1
    classifier.save_to_preset(str(tmp_path / "preset"))
    classifier.save(tmp_path / "classifier.keras")
    for again in (
        MixerImageClassifier.from_preset(str(tmp_path / "preset")),
        keras.saving.load_model(tmp_path / "classifier.keras"),
    ):
        assert again.output_dense.quantization_mode == "int8"
        np.testing.assert_allclose(again.predict(images, verbose=0), quantized, atol=1e-5)
