"""Memory and compute of a compiled training step, or how much memory it would need."""

import dataclasses
import re

UNITS = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


@dataclasses.dataclass(frozen=True)
class Footprint:
    """Memory and compute per chip; only `total_bytes` is known of a step that does not fit.

    Close to the memory limit the compiler recomputes activations rather than store them, so FLOPs
    per image grow there while the memory does not.

    Args:
        images: Batch size, over all chips.
        fits: Whether the step fits in the memory of a chip.
        seconds: Compilation time.
        total_bytes: Memory of the step. If it does not fit, a lower bound, or None if unknown.
        argument_bytes: Variables and a batch.
        batch_bytes: One batch of images and labels.
        temporary_bytes: Activations and other temporaries.
        code_bytes: The program.
        flops: Floating-point operations of a step.
        moved_bytes: Bytes moved between the chip and its memory in a step.
    """

    images: int
    fits: bool
    seconds: float
    total_bytes: int | None
    argument_bytes: int | None = None
    batch_bytes: int | None = None
    temporary_bytes: int | None = None
    code_bytes: int | None = None
    flops: float | None = None
    moved_bytes: float | None = None


def compiled_footprint(compiled, images, batch_bytes, seconds):
    """Return the `Footprint` of a `jax.stages.Compiled`."""
    memory, cost = compiled.memory_analysis(), compiled.cost_analysis()
    returned = (
        memory.output_size_in_bytes - memory.alias_size_in_bytes
    )  # what is not written in place
    return Footprint(
        images=images,
        fits=True,
        seconds=seconds,
        total_bytes=memory.argument_size_in_bytes
        + returned
        + memory.temp_size_in_bytes
        + memory.generated_code_size_in_bytes,
        argument_bytes=memory.argument_size_in_bytes,
        batch_bytes=batch_bytes,
        temporary_bytes=memory.temp_size_in_bytes + returned,
        code_bytes=memory.generated_code_size_in_bytes,
        flops=cost["flops"],
        moved_bytes=cost["bytes accessed"],
    )


def refused_footprint(message, images, seconds):
    """Return the `Footprint` of a step that XLA refused, with the memory that its message gives.

    It says "… temporaries (34.74G) exceeds available HBM (15.75G)", or "Used 24.62G of 15.75G".
    """
    sizes = re.findall(r"(\d+(?:\.\d+)?)([KMGT])\b", message)
    needed = int(float(sizes[0][0]) * UNITS[sizes[0][1]]) if sizes else None
    return Footprint(images=images, fits=False, seconds=seconds, total_bytes=needed)
