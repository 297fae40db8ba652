"""What can be changed about a step that does not fit."""

import dataclasses

from training.config import Config
from training.devices.model_parallel import require_even_split
from training.errors import UserError


@dataclasses.dataclass(frozen=True)
class Way:
    """A configuration, and the options that make it of another."""

    config: Config
    options: str = ""

    def with_batch(self, images):
        """Return the configuration with another number of images per step."""
        data = dataclasses.replace(self.config.data, batch_size=images)
        return dataclasses.replace(self.config, data=data)

    def rematerialized(self):
        model = dataclasses.replace(self.config.model, rematerialize=True)
        return Way(dataclasses.replace(self.config, model=model), "--rematerialize")

    def split(self, model_devices):
        hardware = dataclasses.replace(self.config.hardware, model_devices=model_devices)
        config = dataclasses.replace(self.config, hardware=hardware)
        return Way(config, f"{self.options} --model-devices {model_devices}".strip())


def ways(config, chips):
    """Return the `Way`s to try, in this order: as it is, rematerialised, and then split as well.

    Rematerialisation costs a third of the time and splitting costs communication.
    """
    found = [Way(config)]
    if not config.model.rematerialize:
        found.append(found[0].rematerialized())
    whole, model_devices = found[-1], 2 * config.hardware.model_devices
    while chips % model_devices == 0 and _splits(config.model, model_devices):
        found.append(whole.split(model_devices))
        model_devices *= 2
    return found


def _splits(model, model_devices):
    try:
        require_even_split(model, model_devices)
    except UserError:
        return False
    return True
