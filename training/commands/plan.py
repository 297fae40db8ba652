"""`python -m training plan`: compile a recipe for TPUs and report its memory."""

import dataclasses
import json
import os
import sys
from typing import Annotated

import tyro

from training.backend import require_backend
from training.cli.recipe_choice import for_each_recipe
from training.cli.terminal import JsonFlag, print_table
from training.config import Config
from training.errors import STATUS_INTERRUPTED, UserError
from training.planning import topology
from training.planning.image_kinds import channels_of, classes_of
from training.validation import refuse_unless, require_positive


@dataclasses.dataclass(frozen=True)
class Plan:
    config: Annotated[Config, tyro.conf.arg(name="")]

    tpu: str
    """Chips to compile for: v4, v5e, v5p or v6e, and how many stand along each side, such as
    v5e:2x4 for v5e-8, v5e:1x1 for one chip, v5p:8x8x4 for 256."""

    classes: int = 0
    """Number of classes, where the name of the source does not tell it; no image is read."""

    search: bool = True
    """Look for the largest batch that fits, by some more compilations; --no-search does not."""

    granularity: int = 8
    """Images per chip between two batches that the search may try."""

    as_json: JsonFlag = False
    """Print JSON instead of a table."""

    def check(self):
        """Raise UserError if an option is unsound, as far as that shows without the compiler."""
        self.config.check()
        require_positive(self, "granularity")
        topology.check_name(self.tpu)
        classes_of(self.config.data.source, self.classes)
        refuse_unless(
            self.config.hardware.devices == 0,
            "devices",
            "must be 0 here, where --tpu says which chips there are",
            self.config.hardware.devices,
            "Leave it out.",
        )


@for_each_recipe(lambda name, config: Plan(config, tpu=tyro.MISSING))
def run(options: Plan):
    """Compile a recipe's step for TPUs that are not there, and say what fits them.

    JAX's step of `train` in bfloat16 is compiled ahead of time by libtpu, which the extra `plan`
    installs; nothing runs. A compilation takes a minute or some. The options of `train` apply.
    """
    options.check()
    topology.require_compiler()
    topology.hide_tpus()
    require_backend()
    import keras

    from training.devices.detection import hide_accelerators_from_tensorflow

    if keras.backend.backend() != "jax":
        raise UserError(
            "KERAS_BACKEND must be jax for `plan`, which compiles the step of JAX. Received: "
            f"{keras.backend.backend()}. Set it to jax for this command."
        )
    hide_accelerators_from_tensorflow()
    try:
        _print(options, topology.topology(options.tpu))
    except KeyboardInterrupt:
        sys.stdout.flush()
        os._exit(STATUS_INTERRUPTED)  # XLA still compiles, and an exit would wait for it


def _print(options, target):
    from training.planning import report
    from training.planning.search import search
    from training.planning.step import compile_step

    source = options.config.data.source
    classes, channels = classes_of(source, options.classes), channels_of(source)

    def compile_candidate(candidate, images):
        words = " ".join(filter(None, ["compiling", f"{images:,} images", candidate.options]))
        print(words, end=": ", file=sys.stderr, flush=True)
        config = candidate.with_batch(images)
        footprint = compile_step(config, classes, channels, target.distribution(config))
        verdict = "fits" if footprint.fits else "does not fit"
        print(
            f"{report.needed(footprint)} of {target.chip.usable_gib} GiB, {verdict} "
            f"({footprint.seconds:.0f} s)",
            file=sys.stderr,
            flush=True,
        )
        return footprint

    # Weights to start from would have to be fetched, and change nothing here.
    model = dataclasses.replace(options.config.model, weights="")
    config = dataclasses.replace(options.config, model=model)
    distribution = target.distribution(config)
    multiple = options.granularity * distribution.replicas if options.search else 0
    outcome = search(compile_candidate, config, len(target.devices), multiple)
    chosen = {"precision": distribution.precision, "model_devices": distribution.model_devices}
    if options.as_json:
        print(json.dumps(report.as_entries(outcome, target) | chosen, indent=2))
        return
    asked, *largest = report.as_tables(outcome, target)
    for table in (asked | chosen, *largest):
        print_table(table)
