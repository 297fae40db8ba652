"""Shapes of images with the channels last or first, as KerasHub's classes take them."""

import keras

DATA_FORMATS = ("channels_last", "channels_first")


def check_data_format(owner, data_format):
    """Return the data format, Keras's own for None, or raise ValueError."""
    if data_format is None:
        return keras.config.image_data_format()
    if data_format not in DATA_FORMATS:
        raise ValueError(
            f"{owner}: `data_format` must be one of {DATA_FORMATS} or None. "
            f"Received: data_format={data_format!r}. Leave it out for Keras's own."
        )
    return data_format


def to_channels_last(shape, data_format):
    """Return the shape of an image as (height, width, channels)."""
    return tuple(shape) if data_format == "channels_last" else (*shape[1:], shape[0])


def from_channels_last(shape, data_format):
    """Return the shape (height, width, channels) in a data format."""
    return tuple(shape) if data_format == "channels_last" else (shape[-1], *shape[:-1])


def check_image_shape(owner, image_shape, patch_size, data_format):
    """Return `image_shape` as (height, width, channels).

    Raises:
        ValueError: If it is not three positive integers, or the patch does not divide the image.
    """
    axes = from_channels_last(("height", "width", "channels"), data_format)
    is_shape = isinstance(image_shape, (tuple, list)) and len(image_shape) == 3
    if not is_shape or not all(type(size) is int and size > 0 for size in image_shape):
        example = from_channels_last((224, 224, 3), data_format)
        raise ValueError(
            f"{owner}: `image_shape` must be ({', '.join(axes)}) in positive integers, since the "
            "token-mixing weights depend on the number of patches. Received: "
            f"image_shape={image_shape!r}. Pass a fixed size, such as {example}."
        )
    height, width, channels = to_channels_last(image_shape, data_format)
    if height % patch_size[0] or width % patch_size[1]:
        nearest = [
            max(round(size / patch), 1) * patch
            for size, patch in zip((height, width), patch_size, strict=True)
        ]
        raise ValueError(
            f"{owner}: the patch, {patch_size[0]} × {patch_size[1]} pixels, must divide "
            f"`image_shape`, which is ({', '.join(axes)}). Received: image_shape={image_shape!r}. "
            f"Pass {from_channels_last((*nearest, channels), data_format)}."
        )
    return height, width, channels
