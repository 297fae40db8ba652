"""Which of the hosts this is."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Shard:
    """Host `index` of `count` hosts."""

    index: int = 0
    count: int = 1
