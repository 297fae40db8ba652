"""The largest batch that fits, by few compilations."""

TOLERANCE = 1 / 16  # of the batch that fits: how much larger the one that fails may be


def largest_batch(measure, first, multiple):
    """Return the `Footprint`s of the largest batch that fits and of the smallest that does not.

    They lie within `multiple` or `TOLERANCE` of each other; the first is None if nothing fits.
    The compiler saves memory the harder the less there is, so that no line through two points
    tells what fits, and now and then it refuses a batch where a larger one fits. It refuses in
    seconds and compiles in minutes: the search comes from above.

    Args:
        measure: Function from a number of images to a `training.planning.footprint.Footprint`.
        first: Where to begin.
        multiple: All others are multiples of this.
    """
    fits, fails = None, None
    images = first
    while images:
        footprint = measure(images)
        if footprint.fits:
            fits = footprint
        else:
            fails = footprint
        images = _next(fits.images if fits else 0, fails.images if fails else None, multiple)
    return fits, fails


def _next(fits, fails, multiple):
    """Return the next number of images to try, or None if the two are near enough."""
    smallest = (fits // multiple + 1) * multiple
    if fails is None:
        return max(2 * fits // multiple * multiple, smallest)
    if smallest >= fails or fails - fits <= TOLERANCE * fits:
        return None
    # Three quarters of the gap, where a refusal is likelier; half, as long as nothing fits.
    share = 3 / 4 if fits else 1 / 2
    return max(int(fits + share * (fails - fits)) // multiple * multiple, smallest)
