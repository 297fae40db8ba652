"""TPU topologies for ahead-of-time compilation, described by libtpu without a TPU."""

import dataclasses
import importlib.util
import math
import os
import re

from training.errors import UserError


@dataclasses.dataclass(frozen=True)
class Chip:
    """A generation of TPUs, with Google's figures for one chip.

    Args:
        usable_gib: Memory that libtpu 0.0.42 leaves to a program, of 32, 16, 95 and 32 GB.
        peak_flops: FLOPs per second in bfloat16.
        hbm_bytes_per_second: Memory bandwidth.
        config: Chip configuration with which JAX sees a chip as one device.
    """

    usable_gib: float
    peak_flops: float
    hbm_bytes_per_second: float
    config: str = "default"

    def roofline(self, footprint):
        """Return lower bounds on the seconds of a step that fits: compute time and memory time."""
        return footprint.flops / self.peak_flops, footprint.moved_bytes / self.hbm_bytes_per_second


CHIPS = {
    "v4": Chip(30.75, 275e12, 1228e9, config="megacore"),
    "v5e": Chip(15.75, 197e12, 819e9),
    "v5p": Chip(95.74, 459e12, 2765e9),
    "v6e": Chip(31.25, 918e12, 1640e9),
}
NAME = re.compile(rf"({'|'.join(CHIPS)}):([1-9]\d*(?:x[1-9]\d*){{1,2}})")


@dataclasses.dataclass(frozen=True)
class Topology:
    """Chips of one generation and how they are connected.

    Args:
        name: Such as "v5e:2x4".
        chip: Their generation.
        devices: Descriptions of the chips from JAX.
    """

    name: str
    chip: Chip
    devices: tuple

    def distribution(self, config):
        """Return the `Distribution` of a run on these chips.

        Args:
            config: A `training.config.Config`.

        Raises:
            UserError: If the chips cannot be used as the configuration says.
        """
        from training.devices.detection import DetectedDevices
        from training.devices.model_parallel import require_even_split
        from training.devices.selection import choose_distribution

        detected = DetectedDevices("jax", "tpu", self.devices, has_bfloat16=True)
        distribution = choose_distribution(detected, config.hardware, environment={})
        distribution.require_even_batches(config.data.batch_size)
        require_even_split(config.model, distribution.model_devices)
        return distribution


def hide_tpus():
    """Keep JAX and libtpu from looking for TPUs; call it before importing JAX."""
    os.environ["JAX_PLATFORMS"] = "cpu"
    for name, value in {
        "TPU_SKIP_MDS_QUERY": "1",  # do not query the metadata server of Google Cloud
        "TPU_ACCELERATOR_TYPE": "v5litepod-8",  # has no effect on other topologies
        "TPU_WORKER_HOSTNAMES": "localhost",
        "TPU_LOG_DIR": "disabled",
        "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",  # its lock protects chips, and none is used
    }.items():
        os.environ.setdefault(name, value)


def check_name(name):
    """Raise UserError unless `name` is like "v5e:2x4"."""
    _matched(name)


def _matched(name):
    """Return the match of a name, with the groups chip and sides."""
    match = NAME.fullmatch(name)
    if match is None:
        raise UserError(
            f"--tpu must be one of {', '.join(CHIPS)}, a colon, and the chips along each axis. "
            f"Received: {name}. Pass --tpu v5e:2x4 for what Google calls v5e-8, v5e:1x1 for one "
            "chip, or v5p:4x4x4 for 64 chips of v5p."
        )
    return match


def chips_of(name):
    """Return the number of chips of a topology."""
    return math.prod(int(side) for side in _matched(name)[2].split("x"))


def require_compiler(command="plan", extras="plan,training,tensorflow"):
    """Raise UserError unless libtpu, which holds the compiler, is installed."""
    if importlib.util.find_spec("libtpu") is None:
        raise UserError(
            f"`{command}` must have libtpu, the compiler for TPUs. Received: an environment "
            "without it. Make a separate environment, since JAX with libtpu looks for a TPU: "
            "`python3 -m venv .venv-plan`, then `.venv-plan/bin/pip install -c constraints.txt -e "
            f'".[{extras}]"`.'
        )


def topology(name):
    """Return the `Topology` of a name such as "v5e:2x4".

    Raises:
        UserError: If libtpu is missing or in use, or the topology does not exist.
    """
    match = _matched(name)
    require_compiler()
    from jax.experimental import topologies

    chip = CHIPS[match[1]]
    one_chip = {"chips_per_host_bounds": (1, 1, 1)}  # the default is four per host
    try:
        description = topologies.get_topology_desc(
            name,
            platform="tpu",
            chip_config_name=chip.config,
            **(one_chip if chips_of(name) == 1 else {}),
        )
    except RuntimeError as error:
        if "lockfile" in str(error):
            raise UserError(
                f"`plan` must have exclusive use of libtpu. Received: {error}. Stop the other "
                "process that uses libtpu, or wait for it to end. If there is none, the lock file "
                "is stale: remove it."
            ) from error
        raise UserError(
            f"--tpu must be a topology that libtpu knows. Received: {name}: {error}. Pass the "
            "axes of a real slice, such as 2x2, 2x4, 4x4 or 2x2x1."
        ) from error
    return Topology(name, chip, tuple(description.devices))
