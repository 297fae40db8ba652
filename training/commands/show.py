"""`python -m training show`: its options, and what it draws.

What is slow to import is imported when it runs.
"""

import dataclasses
from pathlib import Path
from typing import Annotated

import tyro

from training.backend import require_backend
from training.commands.terminal import print_table
from training.config import Config
from training.validation import require_output_dir, require_positive


@dataclasses.dataclass(frozen=True)
class Pictures:
    config: Annotated[Config, tyro.conf.arg(name="")]
    output_dir: Path
    """Folder for images.png and classes.png, which are replaced."""
    images: int = 16
    """Number of images, of the first batch at the most."""

    def run(self):
        config = self.config
        config.check()
        require_positive(self, "images")
        require_backend()
        from training.data import figures
        from training.data.pipeline import steps_per_epoch
        from training.data.sources import load_source
        from training.devices.detection import hide_accelerators_from_tensorflow

        require_output_dir(self.output_dir)
        hide_accelerators_from_tensorflow()
        source = load_source(config.data)
        source.require("train", config.data)
        steps_per_epoch(source.train, config.data)  # or an error, if there is no batch to draw
        paths = [self.output_dir / name for name in ("images.png", "classes.png")]
        figures.draw_images(
            source, config.data, config.augmentation, config.seed, self.images, paths[0]
        )
        figures.draw_classes(source, config.data.source, paths[1])
        print_table({"images": paths[0], "classes": paths[1], "skipped": len(source.skipped)})
