"""Growth of FLOPs, activation memory and time with the number of patches: Mixer and ViT."""

import dataclasses

from training.benchmarks import patches
from training.studies.cost import cost
from training.studies.verdicts import NOT_REPRODUCED, REPRODUCED, UNDECIDED

# The last sizes are far above those of the paper, where attention is the larger part of a ViT.
IMAGE_SIZES = (224, 448, 896, 1792, 3584)
LINEAR = 1.25  # largest exponent that counts as linear; measured times have noise
QUADRATIC = 1.5  # smallest exponent that counts as quadratic
CLAIM = (
    "The cost of a Mixer is linear in the number of patches, and that of a Vision Transformer is "
    "quadratic (section 2 of the paper)."
)
# With s patches, a s + b s² has the exponent d log cost / d log s = 1 + b s² / (a s + b s²).
RULE = (
    f"Exponents are fitted at the largest {patches.POINTS_AT_THE_END} image sizes. A cost is "
    f'"{NOT_REPRODUCED}" if the exponent of the Mixer, with D_S fixed, is above {LINEAR}. It is '
    f'"{REPRODUCED}" if not, and the exponent of the ViT is above {QUADRATIC}: the quadratic part '
    f'is then the larger one. Else it is "{UNDECIDED}", since the images are too small. The claim '
    f'is "{NOT_REPRODUCED}" if any cost is, else it has the verdict on FLOPs.'
)


@dataclasses.dataclass(frozen=True)
class Growth:
    """Cost of one model at several image sizes, and exponents in the number of patches.

    Args:
        model: One of `training.benchmarks.patches.MODELS`.
        patches: Number of patches at each size.
        gigaflops: Of inference, per image.
        activation_megabytes: What the backward pass reads, per image.
        flops_exponent: Of all image sizes.
        flops_exponent_at_the_end: Of the largest three image sizes.
        activation_exponent: Of the activation memory.
        activation_exponent_at_the_end: Of the activation memory, of the largest three image sizes.
    """

    model: str
    patches: tuple[int, ...]
    gigaflops: tuple[float, ...]
    activation_megabytes: tuple[float, ...]
    flops_exponent: float
    flops_exponent_at_the_end: float
    activation_exponent: float
    activation_exponent_at_the_end: float


def grow(image_sizes=IMAGE_SIZES):
    """Return a `Growth` for each of the models of the benchmark of patches.

    Args:
        image_sizes: Sides of the images in pixels, ascending multiples of 16.
    """
    return tuple(_growth(model, image_sizes) for model in patches.MODELS)


def _growth(model, image_sizes):
    costs = [
        cost(patches.size_of(model, image_size), image_size, patches.CHANNELS, patches.CLASSES)
        for image_size in image_sizes
    ]
    counts = [patches.patches_of(image_size) for image_size in image_sizes]
    gigaflops = [c.inference_flops / 1e9 for c in costs]
    megabytes = [c.activation_bytes / 1e6 for c in costs]
    end = slice(-patches.POINTS_AT_THE_END, None)
    return Growth(
        model=model,
        patches=tuple(counts),
        gigaflops=tuple(gigaflops),
        activation_megabytes=tuple(megabytes),
        flops_exponent=patches.exponent(counts, gigaflops),
        flops_exponent_at_the_end=patches.exponent(counts[end], gigaflops[end]),
        activation_exponent=patches.exponent(counts, megabytes),
        activation_exponent_at_the_end=patches.exponent(counts[end], megabytes[end]),
    )


def verdicts(growths, measured=None):
    """Return the verdict of `RULE` on each cost by its name, and on the claim as a whole.

    Args:
        growths: Result of `grow`.
        measured: A `training.benchmarks.patches.Patches`, or None.
    """
    ends = {
        "FLOPs": {g.model: g.flops_exponent_at_the_end for g in growths},
        "activation memory": {g.model: g.activation_exponent_at_the_end for g in growths},
    }
    if measured:
        ends["time of inference"] = {e.model: e.time_at_the_end for e in measured.exponents}
    found = {
        name: decide(exponents[patches.MIXER], exponents[patches.TRANSFORMER])
        for name, exponents in ends.items()
    }
    whole = NOT_REPRODUCED if NOT_REPRODUCED in found.values() else found["FLOPs"]
    return {**found, "claim": whole}


def decide(mixer, transformer):
    """Return the verdict of `RULE` on two exponents."""
    if mixer > LINEAR:
        return NOT_REPRODUCED
    return REPRODUCED if transformer > QUADRATIC else UNDECIDED
