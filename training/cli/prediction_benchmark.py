"""Options of the benchmark of `predict`, and its tables."""

import dataclasses

from training.cli.memory_return import return_large_blocks
from training.cli.results import print_fields, print_json
from training.cli.terminal import JsonFlag
from training.config import Variant
from training.errors import out_of_memory_as_user_error
from training.validation import refuse_unless, require_positive


@dataclasses.dataclass(frozen=True)
class Prediction:
    """predict on many JPEGs: memory compared to 50 of them, speed compared to that of its parts.

    Two of each 100 files have 12 megapixels, 5 have 0.8 to 2, the others at most 0.3; 23 of each
    1,000 are damaged. Speeds are medians, measured on the first 512 files.
    """

    variant: Variant = "S/32"
    """Model size from the paper."""

    images: int = 5000
    """Number of image files, more than 50."""

    repeats: int = 3
    """Number of times that each speed is measured, in turn."""

    as_json: JsonFlag = False
    """Print JSON instead of tables."""

    def check(self):
        require_positive(self, "repeats")
        refuse_unless(
            50 < self.images <= 100_000,  # a file can have a limited number of links
            "images",
            "must be above 50 and at most 100000",
            self.images,
            "Pass 5000, for example.",
        )

    def run(self):
        return_large_blocks()  # as `predict` does
        from training.benchmarks import prediction
        from training.devices import detection

        detection.hide_accelerators_from_tensorflow()
        with out_of_memory_as_user_error(f"--variant {self.variant}", "Pass a smaller --variant."):
            result = prediction.measure(self.variant, self.images, self.repeats)
        if self.as_json:
            print_json(result)
            return
        print_fields(result.memory)
        print_fields(result.speed)
        print(
            f"Mixer-{result.variant} on {result.backend}, {result.cores} cores, batches of at most "
            f"{result.batch_size}. Peaks are those of whole processes. Speeds are in images per "
            f"second, medians of {result.repeats} repeats; waiting: both, with a model that takes "
            "as long without using the CPU, as on an accelerator. Slower: the slower of decoding "
            "and model; turns: if these two took turns."
        )
