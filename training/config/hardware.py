"""Devices and precision."""

import dataclasses
from typing import Literal

from training.validation import refuse_unless, require_positive


@dataclasses.dataclass(frozen=True)
class Hardware:
    devices: int = 0
    """Devices to train on, the first of those that the backend finds; 0 takes all. They share
    each batch."""

    model_devices: int = 1
    """Devices that share one copy of the weights, for models that are too large for one (JAX)."""

    precision: Literal["auto", "float32", "mixed_bfloat16", "mixed_float16"] = "auto"
    """What is computed in; weights are kept in float32. auto takes mixed_bfloat16 on TPUs and on
    GPUs that have it, and float32 elsewhere."""

    def check(self):
        refuse_unless(
            self.devices >= 0, "devices", "must be at least 0", self.devices, "Pass 0 for all."
        )
        require_positive(self, "model_devices")
