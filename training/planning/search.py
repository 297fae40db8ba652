"""What a plan finds out, in as few compilations as it can."""

import dataclasses
import functools

from training.planning.footprint import Footprint
from training.planning.largest_batch import largest_batch
from training.planning.candidates import Way, ways


@dataclasses.dataclass(frozen=True)
class Outcome:
    asked: Footprint
    """Of the step as it was asked for."""

    fitting: Way | None
    """The first way in which the batch fits, if any that was tried."""

    largest: Footprint | None
    """Of the largest batch that fits as it was asked for otherwise; None without a search."""

    refused: Footprint | None
    """Of the smallest batch that did not fit; likewise."""


def search(compile_way, config, chips, multiple):
    """Return the `Outcome` for a configuration.

    Args:
        compile_way: Function from a `Way` and a number of images to a `Footprint`; no two calls
            are the same.
        config: A `training.config.Config`.
        chips: How many there are.
        multiple: Of what the batches of the search are multiples; 0 for no search.
    """
    compile_once = functools.cache(compile_way)
    images = config.data.batch_size
    tried = ways(config, chips)
    fitting = next((way for way in tried if compile_once(way, images).fits), None)
    largest, refused = None, None
    if multiple:
        measure = functools.partial(compile_once, tried[0])
        largest, refused = largest_batch(measure, images, multiple)
    return Outcome(compile_once(tried[0], images), fitting, largest, refused)
