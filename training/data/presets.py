"""Named datasets: where they come from, the splits of published results, and their classes."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Preset:
    """A dataset of TensorFlow Datasets with its splits; settings are chosen on `validation`."""

    dataset: str
    train: str
    validation: str
    test: str
    classes: int


# Transfer, as in the papers of Mixer and ViT (arXiv 2105.01601 section 3; 2010.11929 appendix
# B.1.1): settings are chosen with part of the training images held out, after which
# `--train-split train` trains on all of them.
TRANSFER = {
    "imagenet": Preset("imagenet2012", "train[:99%]", "train[99%:]", "validation", 1000),
    "cifar10": Preset("cifar10", "train[:98%]", "train[98%:]", "test", 10),
    "cifar100": Preset("cifar100", "train[:98%]", "train[98%:]", "test", 100),
    "pets": Preset("oxford_iiit_pet", "train[:90%]", "train[90%:]", "test", 37),
    "flowers102": Preset("oxford_flowers102", "train[:90%]", "train[90%:]", "test", 102),
}

# ImageNet's validation images with all classes that annotators saw in them (arXiv 2006.07159).
EVALUATION = {"imagenet-real": Preset("imagenet2012_real", "none", "none", "validation", 1000)}

# Datasets from which the authors' code takes a few images of each class. The first 65,000 images
# of ImageNet contain at least 30 of each.
FEW_SHOT = {
    "fewshot-imagenet": Preset("imagenet2012", "train[:65000]", "none", "validation", 1000),
    "fewshot-caltech101": Preset("caltech101", "train", "none", "test", 102),
    "fewshot-cars196": Preset("cars196", "train", "none", "test", 196),
    "fewshot-cifar100": Preset("cifar100", "train", "none", "test", 100),
    "fewshot-dtd": Preset("dtd", "train", "none", "test", 47),
    "fewshot-pets": Preset("oxford_iiit_pet", "train", "none", "test", 37),
    "fewshot-uc-merced": Preset("uc_merced", "train[:1000]", "none", "train[1000:]", 21),
}

PRESETS = TRANSFER | EVALUATION | FEW_SHOT


def expand_preset(data):
    """Return a `training.config.Data` with the name of a preset replaced by `tfds:DATASET`.

    The splits that are not given are those of the preset. If `--train-split` is given, the
    preset's validation split is not used, since it may overlap with the training split.
    """
    preset = PRESETS.get(data.source)
    if preset is None:
        return data
    uses_defaults = not (data.train_split or data.validation_split)
    return dataclasses.replace(
        data,
        source=f"tfds:{preset.dataset}",
        train_split=data.train_split or preset.train,
        validation_split=preset.validation if uses_defaults else data.validation_split,
        test_split=data.test_split or preset.test,
    )
