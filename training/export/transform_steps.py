"""An evaluation transform as steps with numbers, which a program in any language can follow."""

from keras_mixer.transforms import TRANSFORMS

METHODS = {
    ("area", False): (
        "each new pixel is the mean of the area that it covers, rounded down; as "
        "tf.image.resize(method='area')"
    ),
    ("bilinear", False): (
        "interpolate between the 4 nearest pixels, with centers at halves, and round to the "
        "nearest integer; as tf.image.resize(method='bilinear')"
    ),
    ("bilinear", True): (
        "filter with a triangle that widens when the image shrinks; as Pillow's "
        "Image.resize(resample=BILINEAR)"
    ),
    ("bicubic", True): (
        "filter with a cubic that widens when the image shrinks; as Pillow's "
        "Image.resize(resample=BICUBIC)"
    ),
}
COLORS = {
    1: "Convert to gray, (19595 red + 38470 green + 7471 blue + 32768) // 65536, in one channel.",
    3: "Convert to RGB, in this order; drop transparency.",
}


def describe_transform(name, size, channels):
    """Return the steps from an image file to the input of a model, `[{"step": …, …}, …]`.

    Args:
        name: Name of a transform in `keras_mixer.transforms`.
        size: Height and width of the model's input, in pixels.
        channels: 1 or 3.
    """
    row, (height, width) = TRANSFORMS[name], size
    resized = [_before_crop(row, side) for side in size] if row.crop else list(size)
    return [
        {
            "step": "decode",
            "channels": channels,
            "text": f"Decode to 8 bits, turn upright by the EXIF orientation. {COLORS[channels]}",
        },
        {
            "step": "resize",
            "height": resized[0],
            "width": resized[1],
            "keep_aspect_ratio": row.resize == "shorter side",
            "method": row.method,
            "antialias": row.antialias,
            "text": _resize_text(row, *resized),
        },
        *([_crop_step(row, height, width)] if row.crop else []),
        {
            "step": "batch",
            "dtype": "float32",
            "value_range": [0, 255],
            "text": (
                "Pass the pixels as float32 from 0 to 255, (batch, height, width, channels). The "
                "model scales them itself."
            ),
        },
    ]


def _before_crop(row, side):
    """Return the size that is cropped to `side`; see `keras_mixer.preprocessing`."""
    return side * 8 // 7 if row.library == "timm" else round(side * 8 / 7)


def _resize_text(row, height, width):
    method = METHODS[row.method, row.antialias]
    if row.resize == "squash":
        return (
            f"Resize to {height} × {width} (height × width), whatever the aspect ratio: {method}."
        )
    rounding = "round the other side down"
    if row.library != "timm":
        rounding = "round both sides to the nearest integer"
    return (
        f"Resize by one factor, max({height} / height, {width} / width), so that one side fits and "
        f"the other is at least as long, and {rounding}: {method}."
    )


def _crop_step(row, height, width):
    half = "// 2"
    if row.library == "timm":
        half = "/ 2, rounded to the nearest integer, halves to even"
    return {
        "step": "center_crop",
        "height": height,
        "width": width,
        "text": (
            f"Crop {height} × {width}: the first row is (height - {height}) {half}, the first "
            f"column (width - {width}) {half}."
        ),
    }
