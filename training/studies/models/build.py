"""The study models by name."""

from training.config.study_models import RESNETS, VITS
from training.studies.models.mixer_variations import build_mixer_variation
from training.studies.models.resnet import build_resnet
from training.studies.models.vit import build_vit


def build_study_model(model, image_size, channels, classes):
    """Return a model of logits for pixels in [0, 255].

    Args:
        model: A `training.config.Model` whose architecture is a study model.
        image_size: Side of the square images in pixels.
        channels: Number of channels of the images.
        classes: Number of classes.
    """
    name, arguments = model.architecture, (image_size, channels, classes)
    if name in VITS:
        return build_vit(VITS[name], *arguments)
    if name in RESNETS:
        return build_resnet(RESNETS[name], *arguments)
    rates = {"drop_path_rate": model.drop_path_rate, "dropout_rate": model.dropout_rate}
    return build_mixer_variation(name, model.size, *arguments, **rates)
