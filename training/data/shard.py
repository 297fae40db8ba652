"""The share of the examples that one of several hosts reads."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Shard:
    """Shard `index` of `count`, one per host."""

    index: int = 0
    count: int = 1
