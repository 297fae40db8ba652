"""Arrays in the layouts of other programs."""

import numpy as np


def in_layout(layout, arrays):
    """Return arrays with the names and axes of `layout`."""
    return {
        layout.rename(name): np.ascontiguousarray(
            array.transpose(layout.axes_from_canonical(array.ndim))
        )
        for name, array in arrays.items()
    }
