"""Number of classes and channels of a dataset, known without reading its images."""

from training.data.presets import PRESETS
from training.data.shapes import Dials
from training.errors import UserError
from training.validation import LARGEST_INTEGER

CLASSES = {
    "digits": 10,
    "shapes": len(Dials().class_names),
    **{name: preset.classes for name, preset in PRESETS.items()},
}


def classes_of(source, classes):
    """Return `classes` unless it is 0, else the number of classes of a named dataset.

    Raises:
        UserError: If the number is not known.
    """
    if not 0 <= classes <= LARGEST_INTEGER or (not classes and source not in CLASSES):
        raise UserError(
            f"--classes must be above 0 with --source {source}, which `plan` does not read. "
            f"Received: {classes}. Pass the number of classes, such as --classes 21843 for "
            "ImageNet-21k."
        )
    return classes or CLASSES[source]


def channels_of(source):
    """Return the number of channels of a source's images; arrays are assumed to be in color."""
    return 1 if source == "digits" else 3
