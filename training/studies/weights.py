"""Learned weights of a Mixer, and their change over the checkpoints of a run (figures 5 to 7)."""

import dataclasses

import keras
import numpy as np

from keras_mixer import MixerBlock
from training.errors import UserError
from training.keras_file import STEM, find_mixer
from training.model_argument import RunModel, load_model
from training.run.checkpoint_names import batches_of, newest_first
from training.studies.hidden_units import study_units


@dataclasses.dataclass(frozen=True)
class MixerWeights:
    """The weights that are studied, in float64.

    Args:
        grid: Rows and columns of the patches of an image.
        kernels: `token_mixing/Dense_0/kernel` of each block, `(patches, tokens_mlp_dim)`.
        stem: `stem/kernel`, `(patch height, patch width, channels, hidden_dim)`.
    """

    grid: tuple[int, int]
    kernels: tuple[np.ndarray, ...]
    stem: np.ndarray


@dataclasses.dataclass(frozen=True)
class Change:
    """The hidden units of one block at one checkpoint of a run.

    Args:
        step: Number of updates of the weights.
        block: Number of the block.
        relative_change: Frobenius norm of the kernel minus that of the first checkpoint, divided
            by the norm of the latter.
        mean_frequency: Of the units, in cycles per patch.
        mean_cosine: Of each unit and its negated partner.
    """

    step: int
    block: int
    relative_change: float
    mean_frequency: float
    mean_cosine: float


def read_weights(model):
    """Return the `MixerWeights` of a Keras model, which may have the Mixer nested inside.

    Raises:
        UserError: If there is no Mixer, or its weights are quantized or not finite.
    """
    mixer = find_mixer(model)
    blocks = [] if mixer is None else [b for b in mixer.layers if isinstance(b, MixerBlock)]
    if not blocks or not any(layer.name == STEM for layer in mixer.layers):
        raise _refusal("must hold a Mixer", "a model without one", "Pass a model of keras_mixer")
    stem = mixer.get_layer(STEM)
    _, rows, columns, _ = stem.output.shape
    kernels = tuple(_kernel(block.token_mixing.dense_0) for block in blocks)
    return MixerWeights((rows, columns), kernels, _kernel(stem))


def _kernel(layer):
    """Return the kernel of a layer in float64."""
    if mode := getattr(layer, "quantization_mode", None):
        advice = "Pass the model as it was before quantization"
        raise _refusal("must have weights that are not quantized", mode, advice)
    kernel = np.asarray(keras.ops.convert_to_numpy(layer.kernel), "float64")
    if not np.isfinite(kernel).all():
        advice = "Pass another checkpoint or another run"
        raise _refusal("must have finite weights", f"NaN or infinity in {layer.path}", advice)
    return kernel


def _refusal(rule, received, advice):
    return UserError(f"MODEL {rule}. Received: {received}. {advice}.")


def checkpoint_steps(argument):
    """Return the steps of the checkpoints of a run, ascending; none unless MODEL is a whole run.

    Only plain Mixers have checkpoints that can be read.

    Args:
        argument: What `training.model_argument.parse` returned.
    """
    if not isinstance(argument, RunModel) or argument.checkpoint:
        return []
    folder = argument.folder
    if not folder.read_config().model.is_plain:
        return []
    batches = map(batches_of, newest_first(folder.checkpoints))
    # The weights only change after the last batch of an update.
    return sorted({n // folder.read_config().optimization.accumulation_steps for n in batches})


def read_checkpoints(argument, steps):
    """Yield `(step, MixerWeights)` for checkpoints of a run, one at a time.

    Args:
        argument: A `RunModel`.
        steps: Steps of its checkpoints.
    """
    for step in steps:
        loaded = load_model(dataclasses.replace(argument, checkpoint=f"step-{step}"))
        yield step, read_weights(loaded.model)


def measure_changes(checkpoints):
    """Return a `Change` for each checkpoint and each block.

    Args:
        checkpoints: `(step, MixerWeights)` in the order of the steps.
    """
    changes, first = [], None
    for step, weights in checkpoints:
        first = first or weights
        for block, (kernel, before) in enumerate(zip(weights.kernels, first.kernels, strict=True)):
            units = study_units(kernel, weights.grid)
            change = np.linalg.norm(kernel - before) / np.linalg.norm(before)
            frequency, cosine = units.frequencies.mean(), units.cosines.mean()
            changes.append(Change(step, block, float(change), float(frequency), float(cosine)))
    return changes
