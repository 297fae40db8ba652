"""Devices and numerical precision."""

import dataclasses
from typing import Literal

from training.validation import refuse_unless, require_positive


@dataclasses.dataclass(frozen=True)
class Hardware:
    devices: int = 0
    """Number of devices to train on, the first ones that the backend reports. Each batch is divided
    among them. 0 uses all devices."""

    model_devices: int = 1
    """Number of devices over which each copy of the weights is sharded (model parallelism), for
    models that are too large for one device. JAX only; 1 on the other backends."""

    precision: Literal["auto", "float32", "mixed_bfloat16", "mixed_float16"] = "auto"
    """Precision of the computation; weights are float32. auto selects mixed_bfloat16 on TPUs and on
    GPUs that support it, and float32 on other devices."""

    def check(self):
        """Raise UserError if a field is invalid."""
        refuse_unless(
            self.devices >= 0, "devices", "must be at least 0", self.devices, "Pass 0 for all."
        )
        require_positive(self, "model_devices")
