"""Every field of the configuration changes something."""

import dataclasses
import hashlib
import json

import keras
import numpy as np
import pytest
from PIL import Image

from tests.support.tfds import build_tfds
from training.config import (
    Augmentation,
    Checkpointing,
    Config,
    Data,
    Hardware,
    Model,
    Optimization,
)
from training.config.model import SIZE_FIELDS
from training.data.cache import cached
from training.data.pipeline import evaluation_batches, steps_per_epoch, training_batches
from training.data.sources import load_source
from training.devices.detection import DetectedDevices
from training.devices.selection import choose_distribution
from training.errors import UserError
from training.model import build_model
from training.optimization.duration import duration
from training.optimization.schedule import learning_rate_schedule
from training.run import train as fit
from training.run.callbacks.evaluate_ema import EvaluateEma
from training.run.compiled_model import compiled_model
from training.run.folder import RunFolder

pytestmark = pytest.mark.backend("torch")  # other tests verify what each field does on each

PARTS = {
    "data": Data,
    "augmentation": Augmentation,
    "model": Model,
    "optimization": Optimization,
    "checkpointing": Checkpointing,
    "hardware": Hardware,
}
SIZE, CLASSES = 12, 3


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """Create what fields can name: datasets, weight files, folders."""
    import tensorflow_datasets as tfds

    root = tmp_path_factory.mktemp("places")
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (60, SIZE, SIZE + 6, 3), np.uint8)  # not square
    labels = np.arange(60) % CLASSES
    np.savez(root / "set.npz", x_train=images, y_train=labels)
    np.savez(root / "other.npz", x_train=images[::-1], y_train=labels)

    (root / "no_sets").mkdir()
    grey = [(image[:8, :8, :1], int(label)) for image, label in zip(images, labels, strict=True)]
    names = tfds.features.ClassLabel(num_classes=CLASSES)
    build_tfds(root / "sets", "field_digits", names, {"train": grey[:40], "test": grey[40:]})

    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        folder = root / "folder" / str(label)
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / f"{number}.png")
    (root / "folder" / "0" / "bad.png").write_bytes(b"")

    model = Model(patch_size=4, hidden_dim=6, num_blocks=2, tokens_mlp_dim=5, channels_mlp_dim=7)
    source = load_source(Data(source=f"arrays:{root / 'set.npz'}"))
    build_model(model, SIZE, source).save(root / "weights.keras")
    build_model(model, 2 * SIZE, source).save(root / "large.keras")
    return root


@pytest.fixture
def config(places):
    """Return a small configuration with everything off that a row below does not change."""
    return Config(
        data=Data(source=f"arrays:{places / 'set.npz'}", image_size=SIZE, batch_size=6),
        model=Model(patch_size=4, hidden_dim=6, num_blocks=2, tokens_mlp_dim=5, channels_mlp_dim=7),
        optimization=Optimization(
            total_epochs=1, warmup_steps=2, optimizer="sgd", weight_decay=0.0, clip_global_norm=0.0
        ),
        checkpointing=Checkpointing(checkpoint_minutes=0.0, keep_checkpoints=9),
    )


@pytest.fixture(scope="module")
def unchanged_outputs():
    """`{(function, configuration): output}`, since many rows begin with the same configuration."""
    return {}


def digest(array):
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


def see_batches(config, tmp_path):
    """Return the output of the pipelines, or the error message."""
    try:
        source = cached(load_source(config.data), config.data)
        batches = training_batches(source, config.data, config.augmentation, config.seed)
        images, labels = next(iter(batches))
        evaluated, _, _ = next(iter(evaluation_batches(source.test, source, config.data)))
    except UserError as error:
        return str(error)
    sizes = [len(getattr(source, part)) for part in ("train", "validation", "test")]
    return (
        [digest(a) for a in (images, labels, evaluated)],
        sizes,
        type(source.train),
        batches.options().deterministic,
        sorted(path.parts[-3] for path in tmp_path.parent.rglob("index.json")),
    )


def see_model(config, tmp_path):
    try:
        keras.utils.set_random_seed(config.seed)
        model = build_model(config.model, config.data.image_size, load_source(config.data))
    except UserError as error:
        return str(error)
    return json.dumps(model.get_config()), [digest(w) for w in model.get_weights()]


def see_training(config, tmp_path):
    """Return duration, loss and weights after steps on a fixed batch."""
    source = load_source(config.data)
    optimization = config.optimization
    length = duration(optimization, steps_per_epoch(source.train, config.data))
    schedule = learning_rate_schedule(optimization, length.updates, config.data.batch_size)
    keras.utils.set_random_seed(0)
    model = compiled_model(config, source, schedule)
    x = np.random.default_rng(0).integers(0, 256, (6, SIZE, SIZE, 3), np.uint8)
    loss = model.train_on_batch(x, np.eye(CLASSES, dtype="float32")[[0, 1, 2, 2, 0, 1]])[0]
    for variable in model.optimizer.variables:
        if "iteration" in variable.name:
            variable.assign(variable + length.updates // 2)  # in the midst of the decay
    for _ in range(3):
        model.train_on_batch(x, np.eye(CLASSES, dtype="float32")[[0, 1, 2, 2, 0, 1]])
    return length, loss, [digest(w) for w in model.get_weights()]


def see_run(config, tmp_path):
    """Return the checkpoints of a run, and how often an EMA was validated."""
    folder = RunFolder(tmp_path / "run")
    seen = []
    real = EvaluateEma.on_test_begin
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(EvaluateEma, "on_test_begin", lambda self, logs=None: seen.append(real(self)))
        fit.train(config, folder, verbose=0)
    return len(seen), sorted(path.name for path in folder.checkpoints.iterdir())


def see_hardware(config, tmp_path):
    """Return the choice of devices on a host with four GPUs."""
    four = DetectedDevices("jax", "gpu", tuple(f"gpu:{i}" for i in range(4)), has_bfloat16=True)
    return choose_distribution(four, config.hardware, {})


FOLDER = {"data": {"source": "folder:PLACES/folder", "on_bad_image": "skip"}}
TFDS = {"data": {"source": "tfds:field_digits", "data_dir": "PLACES/sets", "image_size": 8}}
ON_DISK = {"data": FOLDER["data"] | {"cache": "disk", "cache_dir": "TMP/cache"}}
RANDAUGMENT = {"augmentation": {"randaugment_magnitude": 10.0}}
MIXUP = {"augmentation": {"mixup_alpha": 0.5}}
ADAMW = {"optimization": {"optimizer": "adamw"}}
LARGE_WEIGHTS = {"model": {"weights": "PLACES/large.keras"}}
NO_SIZES = dict.fromkeys(SIZE_FIELDS)  # the variant's
A_VARIANT = {"model": {"variant": "S/32"} | NO_SIZES, "data": {"image_size": 32}}

ROWS = [
    # function that returns the output, part, field, another value, other fields that are needed
    (see_batches, "data", "source", "arrays:PLACES/other.npz", {}),
    (see_batches, "data", "data_dir", "PLACES/no_sets", TFDS),
    (see_batches, "data", "train_split", "train[:50%]", TFDS),
    (see_batches, "data", "validation_split", "train[50%:]", TFDS),
    (see_batches, "data", "test_split", "test[:50%]", TFDS),
    (see_batches, "data", "on_bad_image", "error", FOLDER),
    (see_batches, "data", "cache", "memory", TFDS),
    (see_batches, "data", "cache_dir", "TMP/other", ON_DISK),
    (see_batches, "data", "deterministic", False, {}),
    (see_batches, "data", "image_size", 24, {}),
    (see_batches, "data", "batch_size", 7, {}),
    (see_batches, "data", "validation_fraction", 0.3, {}),
    (see_batches, "data", "test_fraction", 0.4, {}),
    (see_batches, "data", "train_fraction", 0.5, {}),
    (see_batches, "data", "training_crop", "inception", {}),
    (see_batches, "data", "flip", True, {}),
    (see_batches, "data", "evaluation_transform", "resmall-crop", {}),
    (see_batches, "augmentation", "shift_fraction", 0.3, {}),
    (see_batches, "augmentation", "rotation_degrees", 30.0, {}),
    (see_batches, "augmentation", "zoom_fraction", 0.3, {}),
    (see_batches, "augmentation", "randaugment_magnitude", 10.0, {}),
    (see_batches, "augmentation", "randaugment_layers", 1, RANDAUGMENT),
    (see_batches, "augmentation", "augmix_severity", 3.0, {}),
    (see_batches, "augmentation", "color_jitter", 0.4, {}),
    (see_batches, "augmentation", "hue_jitter", 0.2, {}),
    (see_batches, "augmentation", "cutout_fraction", 0.5, {}),
    (see_batches, "augmentation", "erasing_probability", 0.9, {}),
    (see_batches, "augmentation", "mixup_alpha", 0.5, {}),
    (see_batches, "augmentation", "cutmix_alpha", 1.0, {}),
    (see_batches, "augmentation", "mix_probability", 0.0, MIXUP),
    (see_batches, "", "seed", 1, {}),
    (see_model, "", "seed", 1, {}),
    (see_model, "model", "variant", "S/16", A_VARIANT),
    (see_model, "model", "patch_size", 3, {}),
    (see_model, "model", "hidden_dim", 8, {}),
    (see_model, "model", "num_blocks", 3, {}),
    (see_model, "model", "tokens_mlp_dim", 8, {}),
    (see_model, "model", "channels_mlp_dim", 8, {}),
    (see_model, "model", "drop_path_rate", 0.1, {}),
    (see_model, "model", "dropout_rate", 0.1, {}),
    (see_model, "model", "weights", "PLACES/weights.keras", {}),
    (see_model, "model", "resolution", "interpolate", LARGE_WEIGHTS),
    (see_model, "model", "head_bias", -6.9, {}),
    (see_model, "model", "rematerialize", True, {}),
    (see_model, "model", "architecture", "mixer-untied", {}),
    (see_model, "model", "input_permutation", "patches", {}),
    (see_training, "optimization", "total_epochs", 2, {}),
    (see_training, "optimization", "total_steps", 5, {}),
    (see_training, "optimization", "optimizer", "adamw", {}),
    (see_training, "optimization", "schedule", "linear", {}),
    (see_training, "optimization", "learning_rate", 0.1, {}),
    (see_training, "optimization", "reference_batch_size", 3, {}),
    (see_training, "optimization", "warmup_steps", 0, {}),
    (see_training, "optimization", "weight_decay", 0.5, {}),
    (see_training, "optimization", "momentum", 0.5, {}),
    (see_training, "optimization", "clip_global_norm", 0.01, {}),
    (see_training, "optimization", "loss", "sigmoid", {}),
    (see_training, "optimization", "label_smoothing", 0.5, {}),
    (see_training, "optimization", "accumulation_steps", 2, {}),
    (see_run, "optimization", "ema_momentum", 0.5, {}),
    (see_training, "optimization", "freeze", "body", {}),
    (see_training, "optimization", "frozen_blocks", 1, {}),
    (see_training, "optimization", "layer_decay", 0.5, {}),
    (see_training, "optimization", "sam_rho", 0.5, {}),
    (see_run, "checkpointing", "checkpoint_minutes", 1e-9, {}),
    (see_run, "checkpointing", "checkpoint_steps", 1, {}),
    (see_run, "checkpointing", "keep_checkpoints", 1, {"checkpointing": {"checkpoint_steps": 1}}),
    (see_hardware, "hardware", "devices", 3, {}),
    (see_hardware, "hardware", "model_devices", 2, {}),
    (see_hardware, "hardware", "precision", "float32", {}),
]


def changed(config, part, fields, fill):
    fields = {name: fill(value) for name, value in fields.items()}
    if not part:
        return dataclasses.replace(config, **fields)
    return dataclasses.replace(
        config, **{part: dataclasses.replace(getattr(config, part), **fields)}
    )


@pytest.mark.parametrize(
    "see, part, field, value, base",
    ROWS,
    ids=[f"{row[1]}-{row[2]}" for row in ROWS],
)
@pytest.mark.long
def test_the_field_changes_the_output(
    see, part, field, value, base, config, places, tmp_path, unchanged_outputs
):
    def fill(text):
        if not isinstance(text, str):
            return text
        return text.replace("PLACES", str(places)).replace("TMP", str(tmp_path))

    for name, fields in base.items():
        config = changed(config, name, fields, fill)

    def output(config, name):
        (tmp_path / name).mkdir()
        return see(config, tmp_path / name)

    if (see, config) not in unchanged_outputs:
        first = unchanged_outputs[see, config] = output(config, "first")
        assert output(config, "second") == first  # reproducible without the change
    other = output(changed(config, part, {field: value}, fill), "changed")
    assert other != unchanged_outputs[see, config]


def test_all_fields_have_a_row():
    seen = {(part, field) for _, part, field, *_ in ROWS}
    fields = {
        (part, field.name) for part, kind in PARTS.items() for field in dataclasses.fields(kind)
    }
    own = {("", field.name) for field in dataclasses.fields(Config) if field.name not in PARTS}
    assert seen == fields | own
