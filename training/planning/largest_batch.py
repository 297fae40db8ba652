"""Search for the largest batch that fits, with few compilations."""

TOLERANCE = 1 / 16  # largest gap between the two results, relative to the batch that fits


def largest_batch(measure, first, multiple):
    """Return the `Footprint`s of the largest batch that fits and the smallest that does not.

    They differ by at most `multiple` or `TOLERANCE`; the first is None if no batch fits.

    The compiler works harder to save memory as it nears the limit, so memory does not grow
    linearly with the batch, and now and then it refuses a batch although a larger one fits. A
    refusal takes seconds and a success minutes, so the search approaches from above.

    Args:
        measure: Function from a number of images to a `training.planning.footprint.Footprint`.
        first: Number of images to try first.
        multiple: All other batches are multiples of this number.
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
    """Return the next number of images to try, or None if the two are close enough."""
    smallest = (fits // multiple + 1) * multiple
    if fails is None:
        return max(2 * fits // multiple * multiple, smallest)
    if smallest >= fails or fails - fits <= TOLERANCE * fits:
        return None
    # At three quarters of the gap a refusal, which is fast, is more likely than at half. If nothing
    # fits yet, halving gets down sooner.
    share = 3 / 4 if fits else 1 / 2
    return max(int(fits + share * (fails - fits)) // multiple * multiple, smallest)
