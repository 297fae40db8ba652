"""A small task of `benchmark speed`."""

from tests.support.models import SMALL_IMAGE, small_architecture
from training.benchmarks.opponents.task import Task

BATCH = 4


def small_task(variant="", precision="float32"):
    """Return a small task, as `training.benchmarks.opponents.task.task_of` does of a variant."""
    return Task(small_architecture(), SMALL_IMAGE[:2], precision)
