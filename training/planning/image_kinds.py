"""What must be known of a set's images without reading it."""

from training.errors import UserError

CLASSES = {
    "digits": 10,
    "imagenet": 1000,
    "cifar10": 10,
    "cifar100": 100,
    "pets": 37,
    "flowers102": 102,
}


def classes_of(source, classes):
    """Return `classes` if it is not 0, and otherwise the number of classes of a known source.

    Raises:
        UserError: If nothing says how many there are.
    """
    if classes < 0 or (not classes and source not in CLASSES):
        raise UserError(
            f"--classes must be above 0 with --source {source}, which `plan` does not read. "
            f"Received: {classes}. Pass their number, such as 21843 for ImageNet-21k."
        )
    return classes or CLASSES[source]


def channels_of(source):
    """Return the channels of a source's images; arrays count as colour images."""
    return 1 if source == "digits" else 3
