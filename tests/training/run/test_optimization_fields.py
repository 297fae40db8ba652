"""`training.run.train` passes every field of the optimization on."""

import csv
import dataclasses

import keras
import numpy as np
import pytest

from training.config import Optimization
from training.errors import UserError
from training.optimization.loss import SigmoidCrossentropy
from training.optimization.sharpness_aware import SharpnessAwareModel
from training.optimization.update_rule import Momentum
from training.recipes import RECIPES
from training.run import finiteness
from training.run import train as fit
from training.run.callbacks.evaluate_ema import EvaluateEma
from training.run.callbacks.terminate_on_non_finite import TerminateOnNonFinite
from training.run.folder import RunFolder

TINY = RECIPES["tiny"].CONFIG  # 10 batches of 128 make an epoch
CHANGED = Optimization(
    total_steps=8,
    optimizer="sgd",
    schedule="linear",
    learning_rate=0.04,
    reference_batch_size=512,
    warmup_steps=3,
    weight_decay=0.01,
    momentum=0.8,
    clip_global_norm=0.5,
    loss="sigmoid",
    label_smoothing=0.1,
    accumulation_steps=2,
    ema_momentum=0.5,
    frozen_blocks=1,
    layer_decay=0.5,
    sam_rho=0.05,
)


def test_every_field_reaches_the_training(tmp_path, monkeypatch):
    class Reached(Exception):
        pass

    def stop(model, *_, **arguments):
        raise Reached(model, arguments)

    monkeypatch.setattr(keras.Model, "fit", stop)
    config = dataclasses.replace(TINY, optimization=CHANGED)
    with pytest.raises(Reached) as reached:
        fit.train(config, RunFolder(tmp_path / "run"))
    model, arguments = reached.value.args
    optimizer = model.optimizer
    optimizer.build(model.trainable_variables)
    assert isinstance(model, SharpnessAwareModel) and model.rho == 0.05
    assert isinstance(optimizer, Momentum) and optimizer.momentum == 0.8
    assert optimizer.weight_decay == 0.01 and optimizer.global_clipnorm == 0.5
    assert optimizer.gradient_accumulation_steps == 2
    assert optimizer.use_ema and optimizer.ema_momentum == 0.5
    assert optimizer._learning_rate.get_config() == {
        "peak": 0.04 * 128 * 2 / 512,
        "decay": "linear",
        "warmup_updates": 3,
        "total_updates": 8,
    }
    scales = {v.path.split("/")[0]: optimizer.scale_of(v) for v in model.trainable_variables}
    assert scales == {"MixerBlock_1": 0.5, "pre_head_layer_norm": 0.5, "head": 1.0}
    assert isinstance(model.loss, SigmoidCrossentropy) and model.loss.label_smoothing == 0.1
    assert (arguments["epochs"], arguments["steps_per_epoch"]) == (1, 10)  # and then 6 batches
    kinds = [type(callback) for callback in arguments["callbacks"]]
    assert EvaluateEma in kinds and TerminateOnNonFinite in kinds


def test_a_run_with_all_options(tmp_path, monkeypatch):
    """Its last epoch is short, and its model is plain and has the averages."""
    models, batches = [], []
    apply_ema = fit.apply_ema
    monkeypatch.setattr(fit, "apply_ema", lambda m: models.append(m) or apply_ema(m))
    monkeypatch.setattr(finiteness, "require_finite_loss", lambda *a: batches.append(a))
    folder = RunFolder(tmp_path / "run")
    config = dataclasses.replace(TINY, optimization=CHANGED)
    summary = fit.train(config, folder)
    assert len(batches) == 16
    with open(folder.history, newline="") as file:
        assert len(list(csv.DictReader(file))) == 2
    model = keras.saving.load_model(folder.model)
    assert type(model) is type(keras.Model(model.input, model.output))
    assert model.count_params() == summary["parameters"]
    averages = models[0].optimizer._model_variables_moving_average
    trained = models[0].trainable_variables
    saved = {v.path: np.array(v) for v in model.weights}
    names = {v.path.replace("/", "_") + "_average": v.path for v in model.weights}
    assert len(averages) == 16
    for average in averages:
        np.testing.assert_array_equal(saved[names[average.name]], np.array(average))
    assert len(trained) == len(saved)  # nothing is frozen in the saved model


def test_a_diverging_training_is_reported_and_not_saved(tmp_path):
    folder = RunFolder(tmp_path / "run")
    wild = dataclasses.replace(
        TINY.optimization, optimizer="sgd", learning_rate=1e30, clip_global_norm=0.0, warmup_steps=1
    )
    with pytest.raises(UserError, match="must keep the training finite. Received: a loss of nan"):
        fit.train(dataclasses.replace(TINY, optimization=wild), folder)
    assert not list(folder.checkpoints.rglob("*.npz"))
    assert not folder.model.exists()
