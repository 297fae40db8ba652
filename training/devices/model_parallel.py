"""Model parallelism: how the weights of a Mixer are sharded over devices."""

import keras

from training.validation import refuse_unless

BATCH, MODEL = "batch", "model"  # mesh axes: over images and over hidden units
SHARDED_SIZES = ("hidden_dim", "tokens_mlp_dim", "channels_mlp_dim")


def layout_map(device_mesh):
    """Return the layout of a Mixer's variables on a mesh with the axes `BATCH` and `MODEL`.

    In an MLP `W2 σ(W1 x + b1) + b2`, each device along `MODEL` holds a shard of the hidden units:
    columns of W1, entries of b1, rows of W2. It computes its hidden units without communication;
    one all-reduce then sums the outputs of W2. The head is sharded along its input, since class
    counts such as 21,843 have no useful divisor. Every other variable is small and replicated.
    Keras shards the optimizer's variables like the weights they belong to.

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
    """Raise UserError unless the weights of a `training.config.Model` shard evenly.

    Args:
        model: A `training.config.Model`.
        model_devices: Number of devices over which each copy of the weights is sharded.
    """
    for name in SHARDED_SIZES:
        size = getattr(model.size, name)
        refuse_unless(
            model_devices >= 1 and size % model_devices == 0,
            "model_devices",
            f"must divide the {name} of the Mixer, {size}",
            model_devices,
            "Pass a smaller power of two; 1 keeps all weights on every device.",
        )
