"""`benchmark tpu`: a compiled step against Flax's."""

import dataclasses
import importlib.util

from training.backend import require_jax
from training.cli.results import print_json
from training.cli.terminal import JsonFlag
from training.config import Variant
from training.errors import UserError
from training.validation import require_positive


@dataclasses.dataclass(frozen=True)
class Tpu:
    """FLOPs, bytes moved and temporaries of an SGD step on TPU chips, compared to Flax.

    Both are compiled ahead of time in bfloat16, without any chip, and not run: see `plan`.
    """

    variant: Variant = "B/16"
    """Model size from the paper."""

    tpu: str = "v5e:2x2"
    """Topology to compile for: see `plan`."""

    batch_size: int = 512
    """Images per step, over all chips."""

    as_json: JsonFlag = False
    """Print JSON instead of a table."""

    def check(self):
        from training.planning import topology

        require_positive(self, "batch_size")
        topology.check_name(self.tpu)

    def prepare(self):
        """Check the environment, and hide TPUs before JAX is imported."""
        from training.planning import topology

        topology.require_compiler("benchmark tpu", "plan,benchmark,training,tensorflow")
        for package in ("flax", "optax"):
            if importlib.util.find_spec(package) is None:
                raise UserError(
                    "`benchmark tpu` must have Flax and Optax. Received: an environment without "
                    f"{package}. Install it: `.venv-plan/bin/pip install -c constraints.txt -e "
                    '".[benchmark]"`.'
                )
        topology.hide_tpus()

    def run(self):
        from training.cli.tpu_table import print_comparison
        from training.devices import detection
        from training.planning import topology

        require_jax("benchmark tpu")
        detection.hide_accelerators_from_tensorflow()
        from training.benchmarks import tpu

        result = tpu.measure(self.variant, topology.topology(self.tpu), self.batch_size)
        if self.as_json:
            print_json(result)
        else:
            print_comparison(result)
