"""Small models for tests of the export."""

from tests.support.models import randomize, small_mixer

GRAY = (8, 8, 1)  # images of the size of the digits


def gray_mixer(**changes):
    """Return a small Mixer for `GRAY` images, whose random classes differ by much."""
    model = small_mixer(patch_size=2, input_shape=GRAY, classes=10, **changes)
    randomize(model)
    return model
