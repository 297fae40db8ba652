"""`python -m training plan`: compile a recipe for TPUs and report its memory."""

import dataclasses
import json
import os
import sys

import tyro

from keras_mixer.terminal import STATUS_INTERRUPTED
from training.backend import require_backend, require_jax
from training.cli.recipe_choice import RecipeOptions, for_each_recipe
from training.cli.terminal import JsonFlag, print_table
from training.planning import topology
from training.planning.image_kinds import channels_of, classes_of
from training.validation import refuse_unless, require_positive


@dataclasses.dataclass(frozen=True)
class Plan(RecipeOptions):
    tpu: str
    """Topology to compile for: the TPU version (v4, v5e, v5p or v6e) and the number of chips along
    each dimension, such as v5e:2x4 for v5e-8, v5e:1x1 for one chip, v5p:8x8x4 for 256 chips."""

    classes: int = 0
    """Number of classes. Required if it is not known for --source, since no image is read."""

    search: bool = True
    """By default, a few more compilations search for the largest batch size that fits. --no-search
    skips them."""

    granularity: int = 8
    """Granularity of the search: batch sizes are multiples of this number of images per chip."""

    as_json: JsonFlag = False
    """Print JSON instead of a table."""

    def check(self):
        """Raise UserError if an option is invalid; the compiler is not needed for that."""
        self.config.check()
        require_positive(self, "granularity")
        topology.check_name(self.tpu)
        classes_of(self.config.data.source, self.classes)
        refuse_unless(
            self.config.hardware.devices == 0,
            "devices",
            "must be 0 here, since --tpu gives the number of chips",
            self.config.hardware.devices,
            "Drop the option.",
        )


@for_each_recipe(lambda name, config: Plan(config, tpu=tyro.MISSING))
def run(options: Plan):
    """Compile a recipe's training step for TPUs without having any, and report its memory.

    libtpu, which the extra `plan` installs, compiles JAX's training step in bfloat16 ahead of time;
    nothing is executed. A compilation takes about a minute or longer. The options of `train` apply.
    """
    options.check()
    topology.require_compiler()
    topology.hide_tpus()
    require_backend()
    require_jax("plan")
    from training.devices.detection import hide_accelerators_from_tensorflow

    hide_accelerators_from_tensorflow()
    try:
        _print(options, topology.topology(options.tpu))
    except KeyboardInterrupt:
        sys.stdout.flush()
        os._exit(STATUS_INTERRUPTED)  # a normal exit would wait for XLA's compilation


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

    # Pretrained weights would have to be downloaded, and make no difference here.
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
