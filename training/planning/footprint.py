"""What the compiler says of a step: its memory, its work, or why it does not fit."""

import dataclasses
import re

UNITS = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


@dataclasses.dataclass(frozen=True)
class Footprint:
    """Of one chip, in bytes, if the step fits; otherwise at most how much it would need.

    Near the end of the memory the compiler computes things again rather than keep them, so that
    FLOPs per image grow where bytes no longer do.
    """

    images: int  # of the whole batch
    fits: bool
    seconds: float  # of the compiler
    total_bytes: int | None  # what it would need at least, if it does not fit and says so
    argument_bytes: int | None = None  # variables and a batch
    batch_bytes: int | None = None  # of images and labels, once
    temporary_bytes: int | None = None
    code_bytes: int | None = None
    flops: float | None = None
    moved_bytes: float | None = None  # to and from the memory


def of_compiled(compiled, images, batch_bytes, seconds):
    """Return the `Footprint` of a `jax.stages.Compiled`."""
    memory, cost = compiled.memory_analysis(), compiled.cost_analysis()
    returned = memory.output_size_in_bytes - memory.alias_size_in_bytes  # not in place
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


def of_refused(message, images, seconds):
    """Return the `Footprint` of a step that XLA refused, with the bytes that its message names.

    They are "… temporaries (34.74G) exceeds available HBM (15.75G)", or "Used 24.62G of 15.75G".
    """
    sizes = re.findall(r"(\d+(?:\.\d+)?)([KMGT])\b", message)
    needed = int(float(sizes[0][0]) * UNITS[sizes[0][1]]) if sizes else None
    return Footprint(images=images, fits=False, seconds=seconds, total_bytes=needed)
