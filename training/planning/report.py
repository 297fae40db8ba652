"""The outcome of a search as tables for people and entries for JSON."""

import dataclasses
import importlib.metadata

GIB, MIB = 2**30, 2**20


def as_entries(outcome, target):
    """Return an `Outcome` as entries for JSON; `target` is its `Topology`."""
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
    """Return an `Outcome` as tables `{name: value}`: the batch as asked, then the largest batch."""
    asked = {
        "compiled, not run": f"with {_compiler()} for {target.name}",
        "chips": len(target.devices),
        **_rows(outcome.asked, target),
    }
    if not outcome.asked.fits:
        fitting = outcome.fitting
        asked["it fits with"] = fitting.options if fitting else "no option that was tried"
    if not outcome.refused:  # no largest batch was searched for
        return [asked]
    largest = {"largest batch": "no batch fits"}
    if outcome.largest:
        largest = {"largest batch": "that fits"} | _rows(outcome.largest, target)
    return [asked, largest | {"refused": f"a batch of {outcome.refused.images:,} images"}]


def _rows(footprint, target):
    chips, usable = len(target.devices), f"{target.chip.usable_gib} GiB"
    rows = {"batch": f"{footprint.images:,} images, {footprint.images / chips:,.0f} per chip"}
    if not footprint.fits:
        return rows | {"memory per chip": f"{needed(footprint)} of {usable}: it does not fit"}
    compute_seconds, memory_seconds = target.chip.roofline(footprint)
    return rows | {
        "memory per chip": f"{_size(footprint.total_bytes)} of {usable}: it fits",
        "  variables and batch": _size(footprint.argument_bytes),
        "  temporaries": _size(footprint.temporary_bytes),
        "  program": _size(footprint.code_bytes),
        "next batch": f"{_size(footprint.batch_bytes)}, which "
        f"{'fits' if _has_room(footprint, target) else 'does not fit'} while a step runs",
        "FLOPs per chip": f"{_billions(footprint.flops)} per step, "
        f"{_billions(_per_image(footprint, target))} per image",
        "bytes moved per chip": f"{_billions(footprint.moved_bytes)} per step",
        "estimated time": f"{_milliseconds(compute_seconds)} compute, "
        f"{_milliseconds(memory_seconds)} memory; communication between chips not included",
        "limited by": f"{_limit(compute_seconds, memory_seconds)}, according to this estimate",
    }


def _has_room(footprint, target):
    """Return whether the next batch can be transferred to the chips while a step runs."""
    return footprint.total_bytes + footprint.batch_bytes <= target.chip.usable_gib * GIB


def needed(footprint):
    """Return the memory that a step needs on a chip, in words."""
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
