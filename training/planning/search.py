"""Search for what fits on the chips: the step as asked, other options, the largest batch."""

import dataclasses
import functools

from training.planning.candidates import Candidate, candidates
from training.planning.footprint import Footprint
from training.planning.largest_batch import largest_batch


@dataclasses.dataclass(frozen=True)
class Outcome:
    """Result of a search.

    Args:
        asked: Footprint of the step as the configuration asks for it.
        fitting: The first candidate with which the batch fits, or None.
        largest: Footprint of the largest batch that fits with the configuration's options; None
            if no batch fits or none was searched for.
        refused: Footprint of the smallest batch that does not fit; None if none was searched for.
    """

    asked: Footprint
    fitting: Candidate | None
    largest: Footprint | None
    refused: Footprint | None


def search(compile_candidate, config, chips, multiple):
    """Return the `Outcome` for a configuration, with as few compilations as possible.

    Args:
        compile_candidate: Function from a `Candidate` and a number of images to a `Footprint`;
            called once at most for each pair.
        config: A `training.config.Config`.
        chips: Number of chips.
        multiple: The largest batch is searched for among multiples of this number; 0 disables
            that search.
    """
    compile_once = functools.cache(compile_candidate)
    images = config.data.batch_size
    tried = candidates(config, chips)
    fitting = next((c for c in tried if compile_once(c, images).fits), None)
    largest, refused = None, None
    if multiple:
        measure = functools.partial(compile_once, tried[0])
        largest, refused = largest_batch(measure, images, multiple)
    return Outcome(compile_once(tried[0], images), fitting, largest, refused)
