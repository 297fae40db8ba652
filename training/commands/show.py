"""`python -m training show`: plot the training images of a recipe."""

import dataclasses
from pathlib import Path

from training.backend import require_backend
from training.cli.recipe_choice import RecipeOptions, for_each_recipe
from training.cli.terminal import print_table
from training.validation import require_output_dir, require_positive


@dataclasses.dataclass(frozen=True)
class Show(RecipeOptions):
    output_dir: Path
    """Folder for the figures images.png and classes.png. Existing ones are overwritten."""

    images: int = 16
    """Number of images to plot; at most one batch."""

    def check(self):
        self.config.check()
        require_positive(self, "images")


@for_each_recipe(lambda name, config: Show(config, output_dir=Path("figures") / name))
def run(options: Show):
    """Plot the training images of a recipe as the model sees them, and the images per class.

    The options of `train` change what is plotted. Below each training image is the same image as
    evaluation sees it, with the classes in its label and their shares.
    """
    options.check()
    config = options.config
    require_backend()
    from training.data import figures
    from training.data.changed_files import changed_files_as_user_errors
    from training.data.pipeline import steps_per_epoch
    from training.data.sources import load_source
    from training.devices.detection import hide_accelerators_from_tensorflow

    require_output_dir(options.output_dir)
    hide_accelerators_from_tensorflow()
    source = load_source(config.data)
    source.require("train", config.data)
    steps_per_epoch(source.train, config.data)  # raises UserError if there is not one full batch
    images, classes = (options.output_dir / name for name in ("images.png", "classes.png"))
    with changed_files_as_user_errors(source, "Then plot them again."):
        figures.plot_images(
            source, config.data, config.augmentation, config.seed, options.images, images
        )
    figures.plot_class_distribution(source, config.data.source, classes)
    print_table({"images": images, "classes": classes, "skipped": len(source.skipped)})
