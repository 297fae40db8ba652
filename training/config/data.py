"""Where images come from and how they become batches."""

import dataclasses
from typing import Literal

from training.validation import refuse_unless, require_fraction, require_positive


@dataclasses.dataclass(frozen=True)
class Data:
    source: str = "digits"
    """Where the images come from: digits (1,797 scans of 8 × 8 grey pixels in 10 classes, which
    come with scikit-learn), folder:PATH (images in PATH/train/CLASS, and validation and test
    likewise, or in PATH/CLASS), arrays:FILE.npz (x_train, y_train and so on), tfds:NAME (a set
    of TensorFlow Datasets), or a name that stands for one with its splits: imagenet, cifar10,
    cifar100, pets, flowers102, imagenet-real, fewshot-imagenet and others."""

    data_dir: str = ""
    """Folder of TensorFlow Datasets; its own default if empty. Files that have to be fetched by
    hand are looked for in DATA_DIR/downloads/manual."""

    train_split: str = ""
    """Split of a tfds set to train on, such as train[:98%]; train, or what the set's short name
    says, if empty."""

    validation_split: str = ""
    """Split of a tfds set for validation; none, or what the set's short name says, if empty."""

    test_split: str = ""
    """Split of a tfds set for the test; test, or what the set's short name says, if empty."""

    on_bad_image: Literal["error", "skip"] = "error"
    """What to do about image files in folders that cannot be read: refuse to start, or leave
    them out, count them in summary.json and list them in skipped_images.txt."""

    cache: Literal["none", "memory", "disk"] = "none"
    """Where to keep the images for training and validation, encoded as they come: for sets that
    are slow to read. On disk they are kept for later runs."""

    cache_dir: str = ""
    """Folder of the cache on disk."""

    deterministic: bool = True
    """The same seed gives the same batches. With --no-deterministic images come in the order in
    which they are ready, which can be faster."""

    image_size: int = 8
    """Side of the square images that the model sees, in pixels."""

    batch_size: int = 64
    """Images per training step, of all devices together; they must divide it evenly."""

    validation_fraction: float = 0.1
    """Share of the training images that is held out for validation where the source has no such
    part (digits, folder, arrays); 0 trains on all of them."""

    test_fraction: float = 0.2
    """Share of the images that is held out for the test where a folder or file of arrays has no
    such part."""

    training_crop: Literal["resize", "inception", "pad"] = "resize"
    """How a training image comes to its size: squashed, by a random crop of 5 to 100 % of its
    area and an aspect of 3/4 to 4/3 (as the Mixers were trained), or squashed, padded by an
    eighth and cropped at random."""

    flip: bool = False
    """Mirror half of the training images."""

    evaluation_transform: Literal[
        "resmall-crop", "resize-crop", "resize", "timm-bicubic", "timm-bilinear"
    ] = "resize"
    """How an image of the validation or test comes to its size; see keras_mixer.preprocessing."""

    def check(self):
        require_positive(self, "image_size", "batch_size")
        require_fraction(self, "validation_fraction", "test_fraction")
        refuse_unless(
            self.cache != "disk" or self.cache_dir,
            "cache_dir",
            "must name a folder with --cache disk",
            "nothing",
            "Name one on a disk that has room for the set.",
        )
