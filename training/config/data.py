"""Where images come from and how they become batches."""

import dataclasses
from typing import TYPE_CHECKING, Literal

from keras_mixer.transforms import TRANSFORMS
from training.validation import refuse_unless, require_fraction, require_positive

if TYPE_CHECKING:
    EvaluationTransform = str
else:
    EvaluationTransform = Literal[tuple(TRANSFORMS)]


# Fields that select the test images: models with the same ones can be compared.
TEST_FIELDS = ("source", "test_split", "test_fraction", "on_bad_image")


@dataclasses.dataclass(frozen=True)
class Data:
    source: str = "digits"
    """Dataset: digits (1,797 grayscale images of 8 × 8 pixels in 10 classes, included in
    scikit-learn), shapes (generated textured shapes, color images of 32 × 32 pixels in 32 classes;
    shapes:train=5000,difficulty=0.8 changes them), folder:PATH (image files in PATH/train/CLASS,
    optionally PATH/validation/CLASS or PATH/val/CLASS, and PATH/test/CLASS, or in PATH/CLASS),
    arrays:FILE.npz (arrays x_train, y_train and so on), tfds:NAME (TensorFlow Datasets), or a
    preset: a TensorFlow dataset with its usual splits, such as imagenet, cifar10, cifar100, pets,
    flowers102, imagenet-real or fewshot-imagenet."""

    data_dir: str = ""
    """Folder of TensorFlow Datasets. Defaults to the one that TensorFlow Datasets uses. Manual
    downloads belong in DATA_DIR/downloads/manual."""

    train_split: str = ""
    """Split of a TensorFlow dataset to train on, such as train[:98%]. Defaults to the preset's
    split, or to train."""

    validation_split: str = ""
    """Split of a TensorFlow dataset for validation. Defaults to the preset's split, or to none."""

    test_split: str = ""
    """Test split of a TensorFlow dataset. Defaults to the preset's split, or to test."""

    on_bad_image: Literal["error", "skip"] = "error"
    """What to do if a folder contains image files that cannot be read: report an error before
    training starts, or skip them, count them in summary.json and list them in
    skipped_images.txt."""

    cache: Literal["none", "memory", "disk"] = "none"
    """Where to cache the encoded images of the training and validation splits. Useful if the
    dataset is slow to read. A cache on disk is reused by later runs."""

    cache_dir: str = ""
    """Folder of the cache on disk."""

    deterministic: bool = True
    """By default, the same seed gives the same batches. --no-deterministic uses images in the order
    in which they become ready, which can be faster."""

    image_size: int = 8
    """Height and width of the model's input, in pixels."""

    batch_size: int = 64
    """Images per training step, over all devices. The number of devices must divide it."""

    validation_fraction: float = 0.1
    """Fraction of the training images to hold out as the validation split if the dataset has none
    (digits, folder, arrays). 0 trains on all of them."""

    test_fraction: float = 0.2
    """Fraction of the images to hold out as the test split if a folder or a file of arrays has no
    test split."""

    train_fraction: float = 1.0
    """Fraction of the training images of each class to train on, the same ones in every run. For a
    TensorFlow dataset, use --train-split train[:10%] instead."""

    training_crop: Literal["resize", "inception", "pad"] = "resize"
    """How a training image is resized and cropped to the input size: resize ignores the aspect
    ratio; inception takes a random crop with 5 to 100 % of the area and an aspect ratio of 3/4 to
    4/3 (as in the Mixer paper); pad resizes, pads each side by an eighth and takes a random
    crop."""

    flip: bool = False
    """Flip training images horizontally with probability 0.5."""

    evaluation_transform: EvaluationTransform = "resize"
    """How a validation or test image is resized and cropped to the input size; see
    keras_mixer.preprocessing."""

    def check(self):
        """Raise UserError if a field is invalid."""
        require_positive(self, "image_size", "batch_size")
        require_fraction(self, "validation_fraction", "test_fraction")
        refuse_unless(
            0 < self.train_fraction <= 1,
            "train_fraction",
            "must be above 0 and at most 1",
            self.train_fraction,
            "Pass 0.1, for example.",
        )
        refuse_unless(
            self.cache != "disk" or self.cache_dir,
            "cache_dir",
            "must name a folder with --cache disk",
            "nothing",
            "Pass a folder on a disk with room for the dataset.",
        )
