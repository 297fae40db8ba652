"""An outcome in words and figures."""

import dataclasses
import importlib.metadata

GIB, MIB = 2**30, 2**20


def as_entries(outcome, target):
    """Return an `Outcome` for JSON; `target` is the `Topology` that it was compiled for."""
    return {
        "run": False,
        "compiler": _compiler(),
        "topology": target.name,
        "chips": len(target.devices),
        "usable_bytes_per_chip": round(target.chip.usable_gib * GIB),
        "batch": _entries(outcome.asked, target),
        "fits_with": outcome.fitting and outcome.fitting.options,
        "largest_batch": outcome.largest and _entries(outcome.largest, target),
        "refused_batch": outcome.refused and _entries(outcome.refused, target),
    }


def _entries(footprint, target):
    entries = dataclasses.asdict(footprint)
    if footprint.fits:
        compute_seconds, memory_seconds = target.chip.roofline(footprint)
        entries["room_for_the_next_batch"] = _has_room(footprint, target)
        entries["flops_per_image"] = _per_image(footprint, target)
        entries["estimated_compute_seconds"] = compute_seconds
        entries["estimated_memory_seconds"] = memory_seconds
        entries["estimated_limit"] = _limit(compute_seconds, memory_seconds)
    return entries


def as_tables(outcome, target):
    """Return an `Outcome` as tables `{name: value}`: of the batch as asked, and of the largest."""
    asked = {
        "compiled, not run": f"by {_compiler()} for {target.name}",
        "chips": len(target.devices),
        **_rows(outcome.asked, target),
    }
    if not outcome.asked.fits:
        fitting = outcome.fitting
        asked["it fits with"] = fitting.options if fitting else "none of the ways to save memory"
    if not outcome.refused:  # there was no search
        return [asked]
    largest = {"the largest batch": "not one fits"}
    if outcome.largest:
        largest = {"the largest batch": "that fits"} | _rows(outcome.largest, target)
    return [asked, largest | {"refused": f"a batch of {outcome.refused.images:,} images"}]


def _rows(footprint, target):
    chips, usable = len(target.devices), f"{target.chip.usable_gib} GiB"
    rows = {"batch": f"{footprint.images:,} images, {footprint.images / chips:,.0f} for each chip"}
    if not footprint.fits:
        return rows | {"memory of a chip": f"{needed(footprint)} of {usable}: it does not fit"}
    compute_seconds, memory_seconds = target.chip.roofline(footprint)
    return rows | {
        "memory of a chip": f"{_size(footprint.total_bytes)} of {usable}: it fits",
        "  variables and batch": _size(footprint.argument_bytes),
        "  temporaries": _size(footprint.temporary_bytes),
        "  the program": _size(footprint.code_bytes),
        "the next batch": f"{_size(footprint.batch_bytes)}, for which there is "
        f"{'room' if _has_room(footprint, target) else 'no room'} while a step runs",
        "FLOPs of a chip": f"{_billions(footprint.flops)} a step, "
        f"{_billions(_per_image(footprint, target))} an image",
        "bytes moved by a chip": f"{_billions(footprint.moved_bytes)} a step",
        "estimated time": f"{_milliseconds(compute_seconds)} to compute, "
        f"{_milliseconds(memory_seconds)} to move; what chips send each other is not in it",
        "limited by": f"{_limit(compute_seconds, memory_seconds)}, by this estimate",
    }


def _has_room(footprint, target):
    """Return whether the next batch can be brought to the chips while a step runs."""
    return footprint.total_bytes + footprint.batch_bytes <= target.chip.usable_gib * GIB


def needed(footprint):
    """Return in words what a step needs of a chip's memory."""
    if footprint.fits:
        return _size(footprint.total_bytes)
    return f"{_size(footprint.total_bytes)} or more" if footprint.total_bytes else "too much"


def _size(number):
    return f"{number / GIB:.2f} GiB" if number >= GIB else f"{number / MIB:.2f} MiB"


def _billions(number):
    return f"{_short(number / 1e9)} G"


def _milliseconds(seconds):
    return f"{_short(1000 * seconds)} ms"


def _short(number):
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"


def _per_image(footprint, target):
    return footprint.flops * len(target.devices) / footprint.images


def _limit(compute_seconds, memory_seconds):
    return "compute" if compute_seconds > memory_seconds else "memory bandwidth"


def _compiler():
    return f"libtpu {importlib.metadata.version('libtpu')}"
