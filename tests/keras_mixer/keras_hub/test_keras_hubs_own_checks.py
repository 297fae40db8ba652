"""The checks that KerasHub has for its own models, in its `TestCase`."""

import keras
import numpy as np
import pytest

pytest.importorskip("grain", reason="KerasHub's TestCase imports grain")

from keras_hub.src.tests import test_case

from keras_mixer.keras_hub import (
    MixerBackbone,
    MixerImageClassifier,
    MixerImageClassifierPreprocessor,
    MixerImageConverter,
)
from tests.support.keras_hub import SIZES
from tests.support.models import random_pixels

SIZES = {**SIZES, "image_shape": (8, 8, 3)}  # square: the check of data formats reverses it
PIXELS = random_pixels((2, 12, 10, 3))


class Checks(test_case.TestCase):
    test_session = None  # a method of TensorFlow's base class that is no test


def preprocessor():
    return MixerImageClassifierPreprocessor(image_converter=MixerImageConverter((8, 8)))


class TestBackbone(Checks):
    def tearDown(self):
        keras.config.set_image_data_format("channels_last")  # KerasHub restores it on success only

    @pytest.mark.long
    def test_backbone_on_both_data_formats(self):
        self.run_vision_backbone_test(
            cls=MixerBackbone,
            init_kwargs=SIZES,
            input_data=np.ones((2, 8, 8, 3), "float32"),
            expected_output_shape=(2, 2, 2, 16),
        )

    def test_saving(self):
        self.run_model_saving_test(MixerBackbone, SIZES, np.ones((2, 8, 8, 3), "float32"))

    def test_presets(self):
        path = self.get_temp_dir()
        MixerBackbone(**SIZES).save_to_preset(path)
        self.run_preset_test(
            MixerBackbone,
            path,
            np.ones((2, 8, 8, 3), "float32"),
            expected_output_shape=(2, 2, 2, 16),
        )


class TestPreprocessing(Checks):
    def test_image_converter(self):
        self.run_preprocessing_layer_test(MixerImageConverter, {"image_size": (8, 8)}, PIXELS)

    def test_preprocessor(self):
        self.run_preprocessing_layer_test(
            MixerImageClassifierPreprocessor,
            {"image_converter": MixerImageConverter((8, 8))},
            (PIXELS, np.array([1, 0]), np.array([1.0, 0.5], "float32")),
        )


class TestClassifier(Checks):
    def arguments(self):
        return {
            "backbone": MixerBackbone(**SIZES),
            "num_classes": 5,
            "preprocessor": preprocessor(),
        }

    @pytest.mark.long
    def test_task(self):
        self.run_task_test(
            MixerImageClassifier,
            self.arguments(),
            train_data=(PIXELS, np.array([1, 0])),
            expected_output_shape=(2, 5),
        )

    def test_saving(self):
        images = np.ones((2, 8, 8, 3), "float32")
        self.run_model_saving_test(MixerImageClassifier, self.arguments(), images)

    def test_presets(self):
        path = self.get_temp_dir()
        MixerImageClassifier(**self.arguments()).save_to_preset(path)
        images = np.ones((2, 8, 8, 3), "float32")
        for cls in (
            MixerImageClassifier,
            keras.saving.get_registered_object("keras_hub>ImageClassifier"),
        ):
            self.run_preset_test(cls, path, images, expected_output_shape=(2, 5))
            self.run_preset_test(
                cls, path, images, {"num_classes": 3}, expected_output_shape=(2, 3)
            )
