import os
import subprocess
import sys

import pytest

from keras_mixer.sizes import SIZES
from training.config import Model
from training.devices.model_parallel import require_even_split
from training.errors import UserError

# Prints the losses of six steps of a Mixer with a prime number of classes, on one device and then
# with its weights sharded.
TRAINING = """
import contextlib
import keras
import numpy as np
import keras_mixer
from training.devices.model_parallel import BATCH, MODEL, layout_map

def train():
    keras.utils.set_random_seed(0)
    model = keras_mixer.MlpMixer(
        4, 16, 2, 8, 32, input_shape=(8, 8, 3), classes=7, classifier_activation=None
    )
    adamw = keras.optimizers.AdamW(0.01, use_ema=True, gradient_accumulation_steps=2)
    model.compile(adamw, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (8, 8, 8, 3), np.uint8), np.arange(8) % 7
    print(*(model.train_on_batch(images, labels) for _ in range(6)))
    return model

train()
mesh = keras.distribution.DeviceMesh((2, 2), (BATCH, MODEL))
with keras.distribution.ModelParallel(
    layout_map=layout_map(mesh), batch_dim_name=BATCH, auto_shard_dataset=False
).scope():
    model = train()
halved = {
    variable.path
    for variable in model.trainable_variables
    if variable.value.addressable_shards[0].data.size * 2 == variable.value.size
}
assert halved == {"head/kernel"} | {
    f"MixerBlock_{i}/{mlp}/{name}"
    for i in range(2)
    for mlp in ("token_mixing", "channel_mixing")
    for name in ("Dense_0/kernel", "Dense_0/bias", "Dense_1/kernel")
}, halved
per_weight = [v for v in model.optimizer.variables if v.shape]
assert len(per_weight) == 4 * len(model.trainable_variables)
for i, variable in enumerate(per_weight):
    shards = variable.value.addressable_shards[0].data.size / variable.value.size
    assert (shards == 0.5) == any(
        path.replace("/", "_") in variable.path for path in halved
    ), variable.path
"""


@pytest.mark.long
@pytest.mark.backend("jax")
def test_sharded_training_equals_that_on_one_device():
    flags = "--xla_force_host_platform_device_count=4"
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags}
    result = subprocess.run(
        [sys.executable, "-c", TRAINING], env=environment, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    one_device, sharded = (
        [float(number) for number in line.split()] for line in result.stdout.splitlines()
    )
    assert len(sharded) == 6 and sharded[-1] < sharded[0]
    assert sharded == pytest.approx(one_device, rel=1e-4)


@pytest.mark.backend("torch")
def test_every_variant_shards_by_powers_of_two():
    for variant in SIZES:
        for model_devices in (1, 2, 4, 8, 16, 32, 64, 128):
            require_even_split(Model(variant=variant), model_devices)


@pytest.mark.backend("torch")
@pytest.mark.parametrize(
    "model, model_devices, expected",
    [
        (Model(variant="B/16"), 5, "hidden_dim of the Mixer, 768. Received: 5"),
        (Model(variant="B/16"), 256, "tokens_mlp_dim of the Mixer, 384. Rec"),
        (Model(channels_mlp_dim=510), 4, "channels_mlp_dim of the Mixer, 510. Received: 4"),
        (Model(), 0, "hidden_dim of the Mixer, 128. Received: 0"),
    ],
)
def test_uneven_shards_are_refused(model, model_devices, expected):
    with pytest.raises(UserError, match=expected) as caught:
        require_even_split(model, model_devices)
    assert str(caught.value).startswith("--model-devices must divide the ")
