"""Compilation of the training step for a device of this host, which needs no libtpu."""

import dataclasses

import keras
import pytest

if keras.backend.backend() != "jax":
    pytest.skip("a plan is for JAX", allow_module_level=True)

import jax
import numpy as np

from tests.support.models import random_pixels
from training.config import Augmentation, Config, Data, Model, Optimization
from training.data.source import Source
from training.data.splits import in_memory
from training.devices.detection import DetectedDevices
from training.devices.distribution import Distribution
from training.optimization.schedule import learning_rate_schedule
from training.planning import step
from training.run.compiled_model import compiled_model

pytestmark = pytest.mark.usefixtures("full_optimization")
CLASSES = 10
CONFIG = Config(
    data=Data(batch_size=8),
    model=Model(num_blocks=1, drop_path_rate=0.1, dropout_rate=0.1),
    optimization=Optimization(ema_momentum=0.9, sam_rho=0.05, layer_decay=0.7, warmup_steps=0),
)
PLAIN = Config(data=Data(batch_size=8), model=Model(num_blocks=2))


DISTRIBUTION = Distribution(DetectedDevices("jax"), (jax.devices()[0],), 1, "mixed_bfloat16")


def lowered(config):
    return step.lower_step(config, CLASSES, 1, DISTRIBUTION)


def test_step_equals_train_on_batch():
    """Given the values of a model, it updates them as `train_on_batch` does."""
    images, labels = random_pixels((8, 8, 8, 1)), np.eye(CLASSES, dtype="float32")[np.arange(8)]
    empty = in_memory(images[:0], np.zeros(0, int))
    source = Source(tuple("0123456789"), 1, empty, empty, empty)
    with DISTRIBUTION.scope():
        schedule = learning_rate_schedule(CONFIG.optimization, 1, 8)
        model = compiled_model(CONFIG, source, schedule)
        model.optimizer.build(model.trainable_variables)
        model.compute_metrics(None, *[keras.ops.zeros((1, CLASSES))] * 2)
        model.reset_metrics()
    groups = (
        model.trainable_variables,
        model.non_trainable_variables,
        model.optimizer.variables,
        model.metrics_variables,
    )
    state = tuple([np.array(v.value) for v in group] for group in groups)
    logs, state = lowered(CONFIG).compile()(
        jax.tree.map(jax.numpy.asarray, state), (images, labels)
    )
    expected = model.train_on_batch(images, labels, return_dict=True)
    assert float(logs["loss"]) == pytest.approx(expected["loss"], rel=1e-3)
    for group, values in zip(groups, state, strict=True):
        for variable, value in zip(group, values, strict=True):
            np.testing.assert_allclose(variable, value, rtol=0.01, atol=1e-6, err_msg=variable.path)


def arguments(config):
    return [leaf.dtype for leaf in jax.tree.leaves(lowered(config).in_avals)]


def test_images_are_bytes_without_mixup():
    mixup = dataclasses.replace(PLAIN, augmentation=Augmentation(mixup_alpha=0.2))
    assert arguments(PLAIN).count(np.uint8) == 1
    assert arguments(mixup).count(np.uint8) == 0


def test_memory_includes_the_state():
    footprint = step.compile_step(PLAIN, CLASSES, 1, DISTRIBUTION)
    assert footprint.fits and footprint.images == 8 and footprint.seconds > 0
    assert footprint.total_bytes > footprint.argument_bytes > 0
    assert footprint.flops > 0 and footprint.moved_bytes > 0
    assert footprint.batch_bytes == 8 * (8 * 8 + 4 * CLASSES)
    sgd = dataclasses.replace(PLAIN, optimization=Optimization(optimizer="sgd"))
    less = step.compile_step(sgd, CLASSES, 1, DISTRIBUTION)
    model = step._model_without_values(PLAIN, CLASSES, 1)
    assert footprint.argument_bytes - less.argument_bytes == pytest.approx(
        4 * model.count_params(), abs=64
    )


def test_a_refused_step_has_a_footprint(monkeypatch):
    class Lowered:
        def compile(self):
            raise RuntimeError(self.message)

    monkeypatch.setattr(step, "lower_step", lambda *arguments: Lowered())
    Lowered.message = "RESOURCE_EXHAUSTED: temporaries (2.00G) exceeds available HBM (1.00G)."
    footprint = step.compile_step(PLAIN, CLASSES, 1, DISTRIBUTION)
    assert not footprint.fits and footprint.total_bytes == 2 * 2**30
    Lowered.message = "INTERNAL: a defect"
    with pytest.raises(RuntimeError, match="a defect"):
        step.compile_step(PLAIN, CLASSES, 1, DISTRIBUTION)
