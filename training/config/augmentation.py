"""Random changes to training images."""

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
    """Largest random shift along either axis, as a share of the image size."""

    rotation_degrees: float = 0.0
    """Largest random rotation, either way."""

    zoom_fraction: float = 0.0
    """Largest random zoom in or out, as a share of the image size."""

    randaugment_magnitude: float = 0.0
    """m of RandAugment, in the unit of the Mixer paper, whose values are 10, 15 and 20; 0 turns it
    off."""

    randaugment_layers: int = 2
    """Operations per image of RandAugment; 2 in the paper."""

    augmix_severity: float = 0.0
    """Largest level of AugMix's operations, up to 10; 3 in its paper; 0 turns it off."""

    color_jitter: float = 0.0
    """Brightness, contrast and saturation are each changed by a random factor of 1 ± this."""

    hue_jitter: float = 0.0
    """Largest random turn of the hue either way, as a share of the colour circle, up to 0.5."""

    cutout_fraction: float = 0.0
    """Side of the grey square that covers a random part of each image, as a share of the image
    size; 0 turns it off."""

    erasing_probability: float = 0.0
    """Share of the images in which a random rectangle of 2 to 33 % of the area becomes grey."""

    mixup_alpha: float = 0.0
    """Mixup draws the share of two images from Beta(alpha, alpha); 0 turns it off."""

    cutmix_alpha: float = 0.0
    """CutMix draws the share of an image that a box of another leaves from Beta(alpha, alpha); 0
    turns it off. Where mixup is on too, a batch gets one of the two at random."""

    mix_probability: float = 1.0
    """Share of the batches that mixup or CutMix changes at all, where either is on."""

    def check(self):
        require_fraction(self, "shift_fraction", "zoom_fraction", "color_jitter", "cutout_fraction")
        require_not_negative(
            self, "rotation_degrees", "randaugment_magnitude", "mixup_alpha", "cutmix_alpha"
        )
        require_positive(self, "randaugment_layers")
        require_range(self, "augmix_severity", 10)
        require_range(self, "hue_jitter", 0.5)
        require_range(self, "erasing_probability", 1)
        require_range(self, "mix_probability", 1)
