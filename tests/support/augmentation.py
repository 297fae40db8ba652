"""A configuration with every augmentation."""

from training.config import Augmentation

EVERYTHING = Augmentation(
    shift_fraction=0.1,
    rotation_degrees=10,
    zoom_fraction=0.1,
    randaugment_magnitude=10,
    augmix_severity=3,
    color_jitter=0.2,
    hue_jitter=0.1,
    cutout_fraction=0.2,
    erasing_probability=0.3,
    mixup_alpha=0.2,
    cutmix_alpha=1.0,
    mix_probability=0.8,
)
