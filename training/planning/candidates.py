"""Configurations to try when a training step does not fit in memory."""

import dataclasses

from training.config import Config
from training.devices.model_parallel import require_even_split
from training.errors import UserError


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A configuration, and the options that turn the original into it."""

    config: Config
    options: str = ""

    def with_batch(self, images):
        """Return the configuration with another batch size."""
        data = dataclasses.replace(self.config.data, batch_size=images)
        return dataclasses.replace(self.config, data=data)

    def rematerialized(self):
        model = dataclasses.replace(self.config.model, rematerialize=True)
        return Candidate(dataclasses.replace(self.config, model=model), "--rematerialize")

    def sharded(self, model_devices):
        hardware = dataclasses.replace(self.config.hardware, model_devices=model_devices)
        config = dataclasses.replace(self.config, hardware=hardware)
        return Candidate(config, f"{self.options} --model-devices {model_devices}".strip())


def candidates(config, chips):
    """Return the `Candidate`s in the order to try: as is, rematerialized, then also sharded.

    Rematerialization costs a third more compute; sharding the weights costs communication.
    """
    found = [Candidate(config)]
    if not config.model.is_plain:  # neither can be rematerialized or sharded
        return found
    if not config.model.rematerialize:
        found.append(found[0].rematerialized())
    unsharded, model_devices = found[-1], 2 * config.hardware.model_devices
    while chips % model_devices == 0 and _shards_evenly(config.model, model_devices):
        found.append(unsharded.sharded(model_devices))
        model_devices *= 2
    return found


def _shards_evenly(model, model_devices):
    try:
        require_even_split(model, model_devices)
    except UserError:
        return False
    return True
