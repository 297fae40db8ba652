"""TensorFlow's training step compiles as one program with static shapes, as TPUs require."""

import dataclasses
import re

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.support.models import randomize
from tests.support.reference import relative_error
from training.data.pipeline import training_batches
from training.data.sources import load_source
from training.optimization.schedule import learning_rate_schedule
from training.recipes import RECIPES
from training.run.compiled_model import XLA_UPDATES, compiled_model

pytestmark = pytest.mark.backend("tensorflow")

TINY = RECIPES["tiny"].CONFIG
UPDATES = {"accumulation_steps": 2, "ema_momentum": 0.9}
RANDOM = {"drop_path_rate": 0.2, "dropout_rate": 0.1}
CASES = {  # changes of the optimization, of the model, and the policy
    "adamw": ({}, {}, "float32"),
    "sgd": ({"optimizer": "sgd", "layer_decay": 0.5, "frozen_blocks": 1}, {}, "float32"),
    "accumulated, averaged": (UPDATES, {}, "float32"),
    "sam": ({"sam_rho": 0.05, "loss": "sigmoid"}, {}, "float32"),
    "random": ({}, RANDOM, "float32"),
    "rematerialized": ({}, {"rematerialize": True}, "float32"),
    "all": ({**UPDATES, "sam_rho": 0.05}, {**RANDOM, "rematerialize": True}, "mixed_bfloat16"),
    "float16": (UPDATES, {}, "mixed_float16"),
}
OF_THE_HOST = "custom-call|infeed|outfeed|send|recv"
OF_ANY_SIZE = "<=|set-dimension-size"  # f32[<=7] is a size known only when it runs


@pytest.fixture
def policy(request):
    keras.config.set_dtype_policy(request.param)
    yield
    keras.config.set_dtype_policy("float32")


def changed(optimization, model):
    return dataclasses.replace(
        TINY,
        optimization=dataclasses.replace(TINY.optimization, **optimization),
        model=dataclasses.replace(TINY.model, **model),
    )


def compiled_tiny(config):
    """Return the source and the model of a configuration."""
    source = load_source(config.data)
    schedule = learning_rate_schedule(config.optimization, XLA_UPDATES, config.data.batch_size)
    keras.utils.set_random_seed(0)
    return source, compiled_model(config, source, schedule)


def compiled(step, batch):
    """Return the HLO of a step, before optimization for a device."""
    return tf.function(step, jit_compile=True).experimental_get_compiler_ir(batch)(stage="hlo")


@pytest.mark.parametrize(
    ("optimization", "model", "policy"), CASES.values(), ids=CASES, indirect=["policy"]
)
def test_a_step_is_one_program_of_static_shapes(optimization, model, policy):
    config = changed(optimization, model)
    source, model = compiled_tiny(config)
    dataset = training_batches(source, config.data, config.augmentation, config.seed)
    images, labels = next(iter(dataset))
    assert all(part.shape.is_fully_defined() for part in dataset.element_spec)
    model.optimizer.build(model.trainable_variables)  # in no trace, as before a run
    model.compute_metrics(None, labels, labels)

    for program in (
        compiled(model.train_step, (images, labels)),
        compiled(model.test_step, (images, labels, tf.ones(len(images)))),
    ):
        assert "ENTRY" in program
        assert not re.findall(rf"\b({OF_THE_HOST})\(", program)
        assert not re.findall(OF_ANY_SIZE, program)


@pytest.mark.long
def test_xla_computes_what_tensorflow_computes():
    """Everything at once but random masks, which differ under XLA."""
    changes = {**UPDATES, "optimizer": "sgd", "sam_rho": 0.05, "warmup_steps": 0}
    config = changed(changes, {"rematerialize": True})
    weights, losses = {}, {}
    for jit_compile in (True, False):
        source, model = compiled_tiny(config)
        assert model.jit_compile
        model.jit_compile = jit_compile
        randomize(model)  # a head of zeros has a gradient of 0, which SAM would divide by
        batches = iter(training_batches(source, config.data, config.augmentation, 0))
        for _ in range(4):
            losses[jit_compile], _ = model.train_on_batch(*next(batches))
        weights[jit_compile] = np.concatenate([w.ravel() for w in model.get_weights()])
    assert losses[True] == pytest.approx(losses[False], rel=1e-5)
    assert relative_error(weights[True], weights[False]) <= 1e-5


def test_a_strategy_leaves_the_compiler_to_keras():
    with tf.distribute.MirroredStrategy(["cpu:0"]).scope():
        assert not compiled_tiny(TINY)[1].jit_compile


@pytest.mark.parametrize(
    "policy, compiles", [("float32", True), ("mixed_bfloat16", False)], indirect=["policy"]
)
def test_half_precision_on_a_cpu_is_not_compiled(policy, compiles):
    assert bool(compiled_tiny(TINY)[1].jit_compile) == compiles


def test_dynamic_shapes_and_host_calls_are_detected():
    assert re.search(OF_ANY_SIZE, compiled(lambda x: tf.where(x > 0), tf.ones(7)))

    def on_the_host(x):
        return tf.numpy_function(np.sort, [x], tf.float32)

    with pytest.raises(ValueError, match="unsupported operations .* PyFunc"):
        compiled(on_the_host, tf.ones(7))
