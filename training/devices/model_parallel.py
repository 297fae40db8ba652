"""How the weights of a Mixer are split over devices, for models that one device cannot hold."""

import keras

from training.validation import refuse_unless

BATCH, MODEL = "batch", "model"  # axes of the mesh: over images, and over hidden units
SPLIT_SIZES = ("hidden_dim", "tokens_mlp_dim", "channels_mlp_dim")


def layout_map(device_mesh):
    """Return the layouts of a Mixer's variables on a mesh with the axes `BATCH` and `MODEL`.

    Of an MLP `W2 σ(W1 x + b1) + b2` each device of the axis `MODEL` has its share of the hidden
    units: columns of W1, entries of b1, rows of W2. So it computes its hidden units alone, and the
    devices sum once, what W2 makes of them. The head is split along its input, since numbers of
    classes such as 21,843 divide by nothing. All else is small, and whole on every device. The
    optimizer's variables lie as the weights they belong to.

    Args:
        device_mesh: A `keras.distribution.DeviceMesh`.
    """
    layouts = keras.distribution.LayoutMap(device_mesh)
    layouts[".*_mixing/Dense_0/kernel"] = (None, MODEL)  # (width, mlp_dim)
    layouts[".*_mixing/Dense_0/bias"] = (MODEL,)  # (mlp_dim,)
    layouts[".*_mixing/Dense_1/kernel"] = (MODEL, None)  # (mlp_dim, width)
    layouts["head/kernel"] = (MODEL, None)  # (hidden_dim, classes)
    return layouts


def require_even_split(model, model_devices):
    """Refuse a `training.config.Model` whose weights so many devices cannot share evenly.

    Raises:
        UserError: If a width that is split is no multiple of `model_devices`.
    """
    for name in SPLIT_SIZES:
        size = getattr(model.size, name)
        refuse_unless(
            model_devices >= 1 and size % model_devices == 0,
            "model_devices",
            f"must divide the {name} of the Mixer, {size}",
            model_devices,
            "Pass a smaller power of two; 1 keeps the weights whole on every device.",
        )
