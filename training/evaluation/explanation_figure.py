"""Figure of an explanation: the image as the model sees it, and the maps over it."""

import numpy as np
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from training.evaluation.explanation import GRAD_CAM, INTEGRATED_GRADIENTS, OCCLUSION
from training.evaluation.figure_text import drawable, short_name, short_path

TITLES = {
    INTEGRATED_GRADIENTS: "integrated gradients",
    OCCLUSION: "occlusion",
    GRAD_CAM: "Grad-CAM",
}
UNITS = {
    INTEGRATED_GRADIENTS: "added to the logit",
    OCCLUSION: "drop of the logit without it",
    GRAD_CAM: "part of the logit",
}
COLORS = colormaps["RdBu_r"]  # red: for the class, blue: against it
LONGEST_NAME = 40
PANEL_INCHES = 3.0  # longer side of an image
STRONGEST = 0.75  # opacity of the largest value
BACKGROUND = 0.6  # of the image below a map, which is gray and lighter than it


def draw_explanation(explanation, image, name, class_name, layer, file):
    """Plot an image, and each map of its explanation over it, as a PNG.

    The colors of a map go from its largest absolute value to the negative of that. Patches are not
    smoothed, since a map has one value for each. A frame marks the patch with the largest value.

    Args:
        explanation: A `training.evaluation.explanation.Explanation`.
        image: The image as the model sees it, uint8, (height, width, channels).
        name: Name of the image.
        class_name: Name of the explained class.
        layer: Name of the layer of Grad-CAM, which its title names.
        file: Path of the PNG file, or an open file.
    """
    height, width = image.shape[:2]
    scale = PANEL_INCHES / max(height, width)
    panels = 1 + len(explanation.maps)
    # The sides of an image, and room for titles and for color bars.
    size = panels * (max(width * scale, 1.5) + 0.75), height * scale + 1.0
    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, panels, squeeze=False)[0]
    for one in axes:
        one.set(xticks=[], yticks=[])
    rgb = np.repeat(image, 3 // image.shape[-1], axis=2)
    axes[0].imshow(rgb, interpolation="nearest")
    axes[0].set_title(f"{height} × {width} pixels", fontsize=9)
    for one, (method, values) in zip(axes[1:], explanation.maps.items(), strict=True):
        drawn = _draw_map(one, rgb, values, explanation.peak(method))
        bar = figure.colorbar(drawn, ax=one, shrink=0.8)
        bar.set_label(UNITS[method], fontsize=8)
        bar.ax.tick_params(labelsize=7)
        where = f", {layer}" if method == GRAD_CAM else ""
        one.set_title(drawable(f"{TITLES[method]}{where}"), fontsize=9, parse_math=False)
    kind = "" if explanation.is_predicted else ", not the predicted class"
    title = (
        f"{short_path(name, LONGEST_NAME)}\nclass {short_name(class_name, LONGEST_NAME)}, "
        f"probability {explanation.probability:.4f}{kind}"
    )
    figure.suptitle(title, fontsize=10, parse_math=False)
    figure.savefig(file, format="png", dpi=120)


def _draw_map(axes, rgb, values, peak):
    """Draw a map over an image; return the colors for the color bar."""
    height, width = rgb.shape[:2]
    rows, columns = values.shape
    luma = rgb @ [0.299, 0.587, 0.114] / 255
    axes.imshow(1 - BACKGROUND * (1 - luma), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    largest = float(np.abs(values).max()) or 1.0  # a map of zeros has no colors
    colors = COLORS(Normalize(-largest, largest)(values))  # (rows, columns, 4)
    colors[..., 3] = STRONGEST * np.abs(values) / largest
    extent = (-0.5, width - 0.5, height - 0.5, -0.5)
    axes.imshow(colors, extent=extent, interpolation="nearest")
    y, x = peak[0] * height / rows - 0.5, peak[1] * width / columns - 0.5
    frame = Rectangle((x, y), width / columns, height / rows, fill=False, color="black", lw=1.2)
    axes.add_patch(frame)
    return ScalarMappable(Normalize(-largest, largest), COLORS)
