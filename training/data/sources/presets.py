"""Sets of TensorFlow Datasets by short names, with the splits that published figures are for."""

import dataclasses

from training.data.sources import tfds


@dataclasses.dataclass(frozen=True)
class Preset:
    """A set of TensorFlow Datasets; `validation` is what the settings are chosen on."""

    name: str
    train: str
    validation: str
    test: str


# Transfer, as the authors of Mixer and of ViT did it (arXiv 2105.01601 section 3; 2010.11929
# appendix B.1.1): settings are chosen on a part of the training images, after which
# `--train-split train` trains on all of them.
TRANSFER = {
    "imagenet": Preset("imagenet2012", "train[:99%]", "train[99%:]", "validation"),
    "cifar10": Preset("cifar10", "train[:98%]", "train[98%:]", "test"),
    "cifar100": Preset("cifar100", "train[:98%]", "train[98%:]", "test"),
    "pets": Preset("oxford_iiit_pet", "train[:90%]", "train[90%:]", "test"),
    "flowers102": Preset("oxford_flowers102", "train[:90%]", "train[90%:]", "test"),
}

# ImageNet's validation images with all the classes that people saw in them (arXiv 2006.07159).
EVALUATION = {"imagenet-real": Preset("imagenet2012_real", "none", "none", "validation")}

# Where the authors' code takes a few images of each class; the first 65,000 of ImageNet have at
# least 30 of each.
FEW_SHOT = {
    "fewshot-imagenet": Preset("imagenet2012", "train[:65000]", "none", "validation"),
    "fewshot-caltech101": Preset("caltech101", "train", "none", "test"),
    "fewshot-cars196": Preset("cars196", "train", "none", "test"),
    "fewshot-cifar100": Preset("cifar100", "train", "none", "test"),
    "fewshot-dtd": Preset("dtd", "train", "none", "test"),
    "fewshot-pets": Preset("oxford_iiit_pet", "train", "none", "test"),
    "fewshot-uc-merced": Preset("uc_merced", "train[:1000]", "none", "train[1000:]"),
}

PRESETS = TRANSFER | EVALUATION | FEW_SHOT


def load(name, data):
    """Return the set of a preset.

    With `--train-split` or `--validation-split`, both are as given, so that nothing is validated
    on what was trained on unasked.
    """
    preset = PRESETS[name]
    if data.train_split or data.validation_split:
        train, validation = data.train_split or preset.train, data.validation_split
    else:
        train, validation = preset.train, preset.validation
    splits = {
        "train_split": train,
        "validation_split": validation,
        "test_split": data.test_split or preset.test,
    }
    return tfds.load(preset.name, dataclasses.replace(data, **splits))
