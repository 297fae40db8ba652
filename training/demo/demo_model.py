"""Predictions and maps of one model of a demo, as values for JSON."""

import base64
import functools
import io
import math
import time

import keras
import numpy as np
from PIL import Image

from keras_mixer.explain.tokens import LAST_TOKENS, find_mixer, patch_grid
from training.errors import UserError
from training.evaluation.explanation import (
    GRAD_CAM,
    INTEGRATED_GRADIENTS,
    OCCLUSION,
    explain_image,
)
from training.evaluation.logits import most_likely, probabilities
from training.evaluation.predict_batch import predict_batch
from training.studies.models.permutation import PixelPermutation, permute_weights

TOP = 5  # classes in an answer
USUAL_PATCH = 16  # largest side of the parts that are permuted for a model without patches
OCCLUDED_IMAGES = 32  # in a batch


class DemoModel:
    """A model with its names, which predicts, explains, and predicts permuted images.

    It is not thread-safe: a demo calls it from one thread.

    Args:
        title: What the page calls it.
        loaded: The `training.model_argument.LoadedModel`.
        class_names: Names of the classes, for people.
    """

    def __init__(self, title, loaded, class_names):
        self.title, self.loaded, self.class_names = title, loaded, class_names
        self.image_shape = loaded.model.input_shape[1:]
        self._mixer = _find_mixer(loaded.model)
        self._shuffle = None  # of the weights of `_reordered`
        self.usual_patch = USUAL_PATCH

    def describe(self):
        """Return what the page shows of the model, and which methods can explain it."""
        height, width, channels = self.image_shape
        return {
            "title": self.title,
            "parameters": self.loaded.model.count_params(),
            "classes": self.loaded.classes,
            "height": height,
            "width": width,
            "channels": channels,
            "patch_size": self.patch_size,
            "transform": self.loaded.evaluation_transform,
            "activation": self.loaded.activation,
            "methods": self.methods,
        }

    @functools.cached_property
    def methods(self):
        """Names of the methods that can explain the model."""
        if not self.has_patches:
            return ()
        if any(isinstance(layer, PixelPermutation) for layer in self.loaded.model.layers):
            return (OCCLUSION,)  # its tokens are of other patches than those of the image
        return (INTEGRATED_GRADIENTS, OCCLUSION, GRAD_CAM)

    @property
    def has_patches(self):
        """Whether the model is a Mixer, or has one inside."""
        return self._mixer is not None

    @property
    def patch_size(self):
        """Side of the patches in pixels; without patches, of the squares that are permuted."""
        height, width, _ = self.image_shape
        if self.has_patches:
            rows, columns = patch_grid(self._mixer)
            if height / rows == width / columns == height // rows:
                return height // rows  # otherwise the image is resized inside of the model
        side = math.gcd(height, width)
        return max(n for n in range(1, self.usual_patch + 1) if side % n == 0)

    def warm_up(self):
        """Predict once, which compiles the model; raise UserError if it cannot be used."""
        self._classify(self.loaded.model, np.zeros(self.image_shape, "uint8"))

    def predict(self, pixels, shuffle):
        """Return the most likely classes of an image, and the image as the model sees it.

        Of an image whose patches are permuted, a Mixer also predicts with its weights permuted in
        the same way, which should change nothing: `reordered`.

        Args:
            pixels: The image, of `image_shape`, uint8.
            shuffle: The `training.demo.shuffle.Shuffle` of its pixels.
        """
        pixels = shuffle.permute(pixels, self.patch_size)
        start = time.perf_counter()
        classes = self._classify(self.loaded.model, pixels)
        milliseconds = 1000 * (time.perf_counter() - start)
        reordered = None
        if shuffle.keeps_patches and self._can_reorder:
            self._reorder(shuffle)
            reordered = self._classify(self._reordered, pixels)
        return {
            "classes": classes,
            "reordered": reordered,
            "image": _png_url(pixels),
            "milliseconds": round(milliseconds, 1),
        }

    def explain(self, pixels, shuffle, method, class_index):
        """Return the map of the patches for a class of an image.

        Args:
            pixels: The image, of `image_shape`, uint8.
            shuffle: The `training.demo.shuffle.Shuffle` of its pixels.
            method: One of `methods`.
            class_index: Number of the class; None for the most likely one.
        """
        pixels = shuffle.permute(pixels, self.patch_size)
        explained = explain_image(
            self.loaded, pixels, class_index, (method,), LAST_TOKENS, OCCLUDED_IMAGES
        )
        return {
            "class": self.class_names[explained.class_index],
            "class_index": explained.class_index,
            "probability": explained.probability,
            "map": [[float(value) for value in row] for row in explained.maps[method]],
            "peak": explained.peak(method),
        }

    def _classify(self, model, pixels):
        logits = np.asarray(predict_batch(model, pixels[None]), "float64")
        if not np.isfinite(logits).all():
            raise UserError(
                "The logits of the model must be finite. Received: some that are not. Use another "
                "model, or one in float32."
            )
        values = probabilities(logits, self.loaded.activation)[0]
        return [
            {"index": int(i), "name": self.class_names[i], "probability": float(values[i])}
            for i in most_likely(logits[0], TOP)
        ]

    @property
    def _can_reorder(self):
        """Whether the model is a Mixer, whose weights are plain variables.

        The order of the pixels matters to layers around a Mixer.
        """
        return self._mixer is self.loaded.model and not any(
            getattr(layer, "quantization_mode", None) or getattr(layer, "lora_enabled", False)
            for layer in self._mixer._flatten_layers()
        )

    @functools.cached_property
    def _reordered(self):
        return keras.models.clone_model(self.loaded.model)

    def _reorder(self, shuffle):
        """Give `_reordered` the weights of the model, in the order of the permutation."""
        if shuffle == self._shuffle:
            return
        self._shuffle = None
        self._reordered.set_weights(self.loaded.model.get_weights())
        patches = math.prod(patch_grid(self._mixer))
        permute_weights(self._reordered, *shuffle.orders(patches, self.patch_size**2))
        self._shuffle = shuffle


def share_patch_size(models):
    """Permute parts as large as the patches of the first Mixer for models without patches.

    Args:
        models: The `DemoModel`s that are compared.
    """
    sizes = [model.patch_size for model in models if model.has_patches]
    for model in models:
        model.usual_patch = sizes[0] if sizes else USUAL_PATCH


def _find_mixer(model):
    """Return the Mixer in a model; None if there is none, or more than one."""
    try:
        return find_mixer(model)
    except ValueError:
        return None


def _png_url(pixels):
    """Return an image as the URL of a PNG file inside of the text."""
    file = io.BytesIO()
    image = pixels[..., 0] if pixels.shape[-1] == 1 else pixels
    Image.fromarray(image).save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
