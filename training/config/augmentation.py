"""Random augmentation of training images."""

import dataclasses

from training.validation import (
    require_fraction,
    require_not_negative,
    require_positive,
    require_range,
)


@dataclasses.dataclass(frozen=True)
class Augmentation:
    shift_fraction: float = 0.0
    """Largest random translation along each axis, as a fraction of the image size."""

    rotation_degrees: float = 0.0
    """Largest random rotation in either direction, in degrees."""

    zoom_fraction: float = 0.0
    """Largest random zoom in or out, as a fraction of the image size."""

    randaugment_magnitude: float = 0.0
    """Magnitude of RandAugment, on the scale of the Mixer paper, which uses 10, 15 and 20. 0
    disables it."""

    randaugment_layers: int = 2
    """Number of RandAugment operations per image; 2 in the Mixer paper."""

    augmix_severity: float = 0.0
    """Largest severity of AugMix's operations, at most 10; 3 in its paper. 0 disables it."""

    color_jitter: float = 0.0
    """Multiply brightness, contrast and saturation, each by a random factor between 1 - this value
    and 1 + this value."""

    hue_jitter: float = 0.0
    """Largest random rotation of the hue in either direction, as a fraction of the color circle;
    at most 0.5."""

    cutout_fraction: float = 0.0
    """Side of the gray square that Cutout places at random in each image, as a fraction of the
    image size. 0 disables it."""

    erasing_probability: float = 0.0
    """Probability that a random rectangle with 2 to 33 % of an image's area is filled with
    gray."""

    mixup_alpha: float = 0.0
    """alpha of mixup, which samples the mixing ratio of two images from Beta(alpha, alpha). 0
    disables it."""

    cutmix_alpha: float = 0.0
    """alpha of CutMix, which replaces a box in an image by the same box in another image and
    samples the fraction of the area that stays from Beta(alpha, alpha). 0 disables it. If mixup is
    enabled too, each batch gets one of the two at random."""

    mix_probability: float = 1.0
    """Probability that a batch is mixed, if mixup or CutMix is enabled."""

    def check(self):
        """Raise UserError if a field is invalid."""
        require_fraction(self, "shift_fraction", "zoom_fraction", "color_jitter", "cutout_fraction")
        require_not_negative(self, "rotation_degrees", "mixup_alpha", "cutmix_alpha")
        require_positive(self, "randaugment_layers")
        require_range(self, "randaugment_layers", 16)  # each one is a part of the graph
        require_range(self, "randaugment_magnitude", 100)
        require_range(self, "augmix_severity", 10)
        require_range(self, "hue_jitter", 0.5)
        require_range(self, "erasing_probability", 1)
        require_range(self, "mix_probability", 1)
