"""Table of the evaluation transforms, by the names that users type. Needs no Keras."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Transform:
    """How an image of any size is resized and cropped to the model's input size."""

    library: str  # whose arithmetic: how sizes, margins and gray levels are rounded
    resize: str  # "shorter side", which keeps the aspect ratio, or "squash"
    method: str  # "area", "bilinear" or "bicubic"
    antialias: bool  # Pillow's filters, which widen when they shrink an image
    crop: bool  # resize to 8/7 of the size, 256 for 224, and crop the center


TRANSFORMS = {
    # Table 3 of the paper, table 2, and the authors' fine-tuning code.
    "resmall-crop": Transform("big_vision", "shorter side", "area", antialias=False, crop=True),
    "resize-crop": Transform("big_vision", "squash", "area", antialias=False, crop=True),
    "resize": Transform("vision_transformer", "squash", "bilinear", antialias=False, crop=False),
    # timm's weights: bicubic for Google's, bilinear for MIIL's.
    "timm-bicubic": Transform("timm", "shorter side", "bicubic", antialias=True, crop=True),
    "timm-bilinear": Transform("timm", "shorter side", "bilinear", antialias=True, crop=True),
}
