"""Images on which an exported model is compared with the Keras model."""

import numpy as np

from keras_mixer.preprocessing import prepare_image
from training.data.shard import Shard

SMALLEST_CROP = 96  # pixels


def read_files(paths, transform, shape):
    """Return image files as the input of a model, uint8 `(images, height, width, channels)`.

    Args:
        paths: Paths of image files.
        transform: Name of the evaluation transform.
        shape: `(height, width, channels)` of the input.

    Raises:
        UserError: If a file cannot be decoded.
    """
    from training.data.decode import read_image

    return _stack((read_image(path, shape[2]) for path in paths), transform, shape)


def read_test_split(source, data, number):
    """Return images from the whole test split of a source, at equal distances.

    Args:
        source: The `training.data.source.Source`.
        data: The `training.config.Data`, with the size and the transform of the model's input.
        number: Largest number of images.
    """
    from training.data.crop import prepare_evaluation_image
    from training.data.splits import IndexedSplit

    def prepare(_, image, label):
        return prepare_evaluation_image(image, data, source.channels)

    step = max(1, len(source.test) // number)
    if isinstance(source.test, IndexedSplit):
        examples = source.test.in_order(Shard(0, step))
    else:
        examples = source.test.in_order().shard(step, 0)
    images = examples.take(number).map(prepare)
    return np.stack(list(images.as_numpy_iterator()))


def crop_photos(number, transform, shape):
    """Return crops of the two photographs that come with scikit-learn, always the same.

    Args:
        number: Number of crops, of random positions and sizes.
        transform: Name of the evaluation transform.
        shape: `(height, width, channels)` of the input.
    """
    from PIL import Image
    from sklearn.datasets import load_sample_images

    photos = load_sample_images().images
    if shape[2] == 1:
        photos = [np.asarray(Image.fromarray(photo).convert("L"))[..., None] for photo in photos]
    rng = np.random.default_rng(0)

    def crop(photo):
        height, width = photo.shape[:2]
        side = rng.integers(SMALLEST_CROP, min(height, width) + 1)
        top, left = rng.integers(height - side + 1), rng.integers(width - side + 1)
        return photo[top : top + side, left : left + side]

    crops = (crop(photos[i % len(photos)]) for i in range(number))
    return _stack(crops, transform, shape)


def _stack(images, transform, shape):
    *size, channels = shape
    prepared = [prepare_image(image, transform, tuple(size)) for image in images]
    return np.stack(prepared)[..., :channels]  # the three channels of a gray image are equal
