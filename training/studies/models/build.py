"""The study models by name."""

from training.config.study_models import RESNETS, VITS
from training.studies.models.mixer_variations import build_mixer_variation
from training.studies.models.resnet import build_resnet
from training.studies.models.vit import build_vit


def build_study_model(architecture, size, image_size, channels, classes):
    """Return a model of logits for pixels in [0, 255].

    Args:
        architecture: One of `training.config.study_models.STUDY_MODELS`.
        size: The `keras_mixer.sizes.MixerSize` of the Mixers among them.
        image_size: Side of the square images in pixels.
        channels: Number of channels of the images.
        classes: Number of classes.
    """
    arguments = {"image_size": image_size, "channels": channels, "classes": classes}
    if architecture in VITS:
        return build_vit(VITS[architecture], **arguments)
    if architecture in RESNETS:
        return build_resnet(RESNETS[architecture], **arguments)
    return build_mixer_variation(architecture, size, **arguments)
