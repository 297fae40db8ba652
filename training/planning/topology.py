"""The chips for which a step is compiled, described by libtpu without any being there."""

import dataclasses
import importlib.util
import math
import os
import re

from training.errors import UserError


@dataclasses.dataclass(frozen=True)
class Chip:
    """A generation of TPUs, by what Google says of it."""

    usable_gib: float  # of 32, 16, 95 and 32 GB: what libtpu 0.0.42 leaves to a program
    peak_flops: float  # per second, in bfloat16
    hbm_bytes_per_second: float
    config: str = "default"  # by which JAX sees a chip as one device

    def roofline(self, footprint):
        """Return the least seconds of a step that fits: to compute, and to move its bytes."""
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
    name: str
    chip: Chip
    devices: tuple  # by JAX

    def hardware(self, config):
        """Return the `training.devices.distribution.Distribution` that a run has on these chips.

        Raises:
            UserError: If it cannot share them as its `training.config.Config` says.
        """
        from training.devices.detection import DetectedDevices
        from training.devices.model_parallel import require_even_split
        from training.devices.selection import choose_distribution

        machine = DetectedDevices("jax", "tpu", self.devices, has_bfloat16=True)
        hardware = choose_distribution(machine, config.hardware, environment={})
        hardware.require_even_batches(config.data.batch_size)
        require_even_split(config.model, hardware.model_devices)
        return hardware


def stand_without_tpus():
    """Keep JAX and libtpu from looking for TPUs; to be called before JAX is imported."""
    os.environ["JAX_PLATFORMS"] = "cpu"
    for name, value in {
        "TPU_SKIP_MDS_QUERY": "1",  # do not ask the network of Google's cloud
        "TPU_ACCELERATOR_TYPE": "v5litepod-8",  # of no effect on other topologies
        "TPU_WORKER_HOSTNAMES": "localhost",
        "TPU_LOG_DIR": "disabled",
        "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",  # its lock is for chips, and none is used
    }.items():
        os.environ.setdefault(name, value)


def check_name(name):
    """Raise UserError unless `name` is like "v5e:2x4"."""
    _matched(name)


def _matched(name):
    """Return the match of a name: chip and sides."""
    match = NAME.fullmatch(name)
    if match is None:
        raise UserError(
            f"--tpu must be one of {', '.join(CHIPS)}, a colon, and the chips along each side. "
            f"Received: {name}. Pass v5e:2x4 for what Google calls v5e-8, v5e:1x1 for one chip, "
            "v5p:4x4x4 for 64 of v5p."
        )
    return match


def chips_of(name):
    """Return how many chips a topology has."""
    return math.prod(int(side) for side in _matched(name)[2].split("x"))


def require_compiler():
    """Raise UserError unless libtpu, which holds the compiler, is installed."""
    if importlib.util.find_spec("libtpu") is None:
        raise UserError(
            "`plan` must have libtpu, the compiler for TPUs. Received: none in this environment. "
            "Make one of its own, since JAX with libtpu looks for a TPU: `python3 -m venv "
            ".venv-plan`, then `.venv-plan/bin/pip install -c constraints.txt -e "
            '".[plan,training,tensorflow]"`.'
        )


def topology(name):
    """Return the `Topology` of a name such as "v5e:2x4".

    Raises:
        UserError: If libtpu is missing or in use, or does not know the topology.
    """
    match = _matched(name)
    require_compiler()
    from jax.experimental import topologies

    chip = CHIPS[match[1]]
    one_chip = {"chips_per_host_bounds": (1, 1, 1)}  # otherwise four share a host
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
                f"`plan` must have libtpu to itself. Received: {error}. End the other process "
                "that uses libtpu, or wait for it; without one, remove the file."
            ) from error
        raise UserError(
            f"--tpu must be a topology that libtpu knows. Received: {name}: {error}. Pass one "
            "whose sides are those of real slices, such as 2x2, 2x4, 4x4 or 2x2x1."
        ) from error
    return Topology(name, chip, tuple(description.devices))
