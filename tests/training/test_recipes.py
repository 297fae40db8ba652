"""Every recipe: the values in the papers, and two steps on images like its own."""

import dataclasses
import io
import math
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_mixer.sizes import SIZES
from tests.support.backends import rotated
from tests.support.models import architecture_of, random_arrays, random_pixels
from training import recipes
from training.data.decode import UPRIGHT, Encoded
from training.data.pipeline import training_batches
from training.data.source import Source
from training.data.splits import IndexedSplit, in_memory
from training.model import build_model
from training.optimization.schedule import learning_rate_schedule
from training.recipes import RECIPES
from training.run.compiled_model import compiled_model

pytestmark = pytest.mark.usefixtures("full_optimization")  # computes large models

# arXiv 2105.01601, appendix B and table 4; its authors' configurations of ImageNet-1k and -21k.
PRETRAINING = {
    "batch_size": 4096,
    "image_size": 224,
    "training_crop": "inception",
    "flip": True,
    "evaluation_transform": "resmall-crop",
    "randaugment_layers": 2,
    "dropout_rate": 0.0,
    "drop_path_rate": 0.1,
    "weights": "",
    "optimizer": "adamw",
    "total_epochs": 300,
    "total_steps": 0,
    "learning_rate": 0.001,
    "weight_decay": 0.1,
    "schedule": "linear",
    "warmup_steps": 10_000,
    "clip_global_norm": 1.0,
    "loss": "sigmoid",
    "label_smoothing": 0.0,
    "cutmix_alpha": 0.0,
    "mix_probability": 1.0,
}
IMAGENET = PRETRAINING | {"source": "imagenet", "head_bias": -6.9}
IMAGENET21K = PRETRAINING | {"source": "folder:imagenet21k", "head_bias": -10.0}

# The same, section 3 and appendix B; arXiv 2010.11929, table 4; the authors' code of fine-tuning.
FINE_TUNING = {
    "variant": "B/16",
    "weights": "imagenet21k",
    "batch_size": 512,
    "image_size": 224,
    "training_crop": "inception",
    "flip": True,
    "evaluation_transform": "resmall-crop",
    "randaugment_magnitude": 0.0,
    "mixup_alpha": 0.0,
    "dropout_rate": 0.0,
    "drop_path_rate": 0.0,
    "optimizer": "sgd",
    "momentum": 0.9,
    "learning_rate": 0.03,
    "weight_decay": 0.0,
    "schedule": "cosine",
    "warmup_steps": 500,
    "clip_global_norm": 1.0,
    "loss": "softmax",
    "label_smoothing": 0.0,
    "ema_momentum": 0.0,
    "head_bias": 0.0,
}
LARGER = {"image_size": 448, "evaluation_transform": "resize-crop", "resolution": "block_diagonal"}
SETS = {
    "imagenet": {"source": "imagenet", "total_steps": 20_000},
    "cifar10": {"source": "cifar10", "total_steps": 10_000},
    "cifar100": {"source": "cifar100", "total_steps": 10_000},
    "pets": {"source": "pets", "total_steps": 500, "warmup_steps": 100},
    "flowers": {"source": "flowers102", "total_steps": 500, "warmup_steps": 100},
}

VALUES = {
    "imagenet-b16": IMAGENET | {"variant": "B/16", "randaugment_magnitude": 15, "mixup_alpha": 0.5},
    "imagenet-l16": IMAGENET | {"variant": "L/16", "randaugment_magnitude": 15, "mixup_alpha": 0.5},
    "imagenet21k-b16": IMAGENET21K
    | {"variant": "B/16", "randaugment_magnitude": 10, "mixup_alpha": 0.2},
    "imagenet21k-l16": IMAGENET21K
    | {"variant": "L/16", "randaugment_magnitude": 20, "mixup_alpha": 0.5},
    **{f"finetune-{name}": FINE_TUNING | values for name, values in SETS.items()},
    **{f"finetune-{name}-448": FINE_TUNING | values | LARGER for name, values in SETS.items()},
    # github.com/omihub777/MLP-Mixer-CIFAR; 5 epochs of 49,000 images.
    "cifar10-scratch": {
        "source": "cifar10",
        "variant": "",
        "image_size": 32,
        "patch_size": 4,
        "hidden_dim": 128,
        "num_blocks": 8,
        "tokens_mlp_dim": 64,
        "channels_mlp_dim": 512,
        "total_epochs": 300,
        "learning_rate": 1e-3,
        "schedule": "cosine",
        "warmup_steps": 5 * (49_000 // 128),
        "batch_size": 128,
        "cutmix_alpha": 1.0,
        "mixup_alpha": 0.0,
        "mix_probability": 0.5,
        "label_smoothing": 0.1,
        "training_crop": "pad",
        "flip": False,
        "loss": "softmax",
    },
}

# Of --source: classes, channels, and (height, width) of raw pixels; None: JPEGs of photographs.
KINDS = {
    "digits": (10, 1, (8, 8)),
    "shapes": (32, 3, (32, 32)),
    "cifar10": (10, 3, (32, 32)),
    "cifar100": (100, 3, (32, 32)),
    "pets": (37, 3, None),
    "flowers102": (102, 3, None),
    "imagenet": (1000, 3, None),
    "folder:imagenet21k": (21_843, 3, None),
}
PHOTOS = [(500, 375), (333, 500), (500, 400), (640, 427)]  # width and height

# Recipes that are tested with all blocks. The others have two blocks, and all in the slow tests.
WHOLE = {"digits", "shapes", "tiny", "cifar10-scratch", "finetune-pets"}
EVERYWHERE = ("tiny", "cifar10-scratch")  # on each backend; the others on one backend each
FEW_BLOCKS = 2


def fields(config):
    """Return all fields of all parts of a configuration, whose names differ."""
    return {
        name: value
        for part in dataclasses.asdict(config).values()
        if isinstance(part, dict)
        for name, value in part.items()
    }


@pytest.mark.backend("torch")
def test_every_recipe_has_its_values_here():
    assert VALUES.keys() | {"digits", "shapes", "tiny"} == RECIPES.keys()


@pytest.mark.backend("torch")
@pytest.mark.parametrize("name", VALUES)
def test_recipes_hold_the_published_values(name):
    found = fields(RECIPES[name].CONFIG)
    assert {field: found[field] for field in VALUES[name]} == VALUES[name]


@pytest.mark.backend("torch")
@pytest.mark.parametrize("name", RECIPES)
def test_recipes_explain_themselves(name):
    lines = RECIPES[name].__doc__.splitlines()
    assert lines[0].endswith(".") and len(lines[0]) <= 80  # the help of the command
    if name in VALUES:
        assert f"    python3 run.py train {name}" in RECIPES[name].__doc__
        text = " ".join(lines)
        for part in ("Expected: ", "ours", "Hardware: ", "Not measured by us."):
            assert part in text


def photo(seed):
    """Return a JPEG of the size of a photograph, with large shapes and fine noise."""
    rng = np.random.default_rng(seed)
    size = PHOTOS[seed % len(PHOTOS)]
    pixels = np.asarray(Image.fromarray(random_pixels((6, 8, 3), seed)).resize(size))
    pixels = np.clip(pixels + rng.normal(0, 10, pixels.shape), 0, 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=90)
    return file.getvalue()


def source_like(kind):
    """Return a `Source` of the classes and the images of a real one."""
    classes, channels, size = KINDS[kind]
    labels = np.array([0, classes - 1, classes // 2, 1])
    if size:
        split = in_memory(random_pixels((len(labels), *size, channels)), labels)
    else:
        with tf.device("CPU"):
            files = tf.constant([photo(seed) for seed in range(len(labels))])
            upright = tf.constant(UPRIGHT)
        split = IndexedSplit(labels, lambda index: Encoded(files[index], upright))
    names = tuple(f"class {number}" for number in range(classes))
    return Source(names, channels, split, split, split)


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """Return a function that gives the path of a file like a variant's from ImageNet-21k."""
    paths = {}

    def path(variant, num_blocks):
        if (variant, num_blocks) not in paths:
            sizes = architecture_of(SIZES[variant], num_blocks=num_blocks, classes=21_843)
            paths[variant, num_blocks] = tmp_path_factory.mktemp("published") / "imagenet21k.npz"
            np.savez(paths[variant, num_blocks], **random_arrays(sizes.shapes()))
        return str(paths[variant, num_blocks])

    yield path
    for file in paths.values():
        file.unlink()


def first_loss(config, classes):
    """Return the loss of a head of zeros, which depends on nothing but its bias."""
    if config.optimization.loss == "softmax":
        return math.log(classes)
    bias = config.model.head_bias
    return classes * math.log1p(math.exp(bias)) - bias


class Losses(keras.callbacks.Callback):
    """Keeps the loss of each step; Keras reports the mean so far."""

    def __init__(self):
        super().__init__()
        self.means = []

    def on_train_batch_end(self, batch, logs=None):
        self.means.append(logs["loss"])


def run_two_steps(name, published, whole, batch_size=2):
    """Train with a recipe, from the end of its warmup, and check losses and weights."""
    config = RECIPES[name].CONFIG
    model = config.model
    if model.variant and not whole:
        model = dataclasses.replace(model, num_blocks=FEW_BLOCKS)
    if model.weights:
        assert model.weights == "imagenet21k"
        model = dataclasses.replace(model, weights=published(model.variant, model.size.num_blocks))
    data = dataclasses.replace(config.data, batch_size=batch_size)
    config = dataclasses.replace(config, model=model, data=data)
    config.check()
    source = source_like(data.source)
    classes = len(source.class_names)

    keras.utils.set_random_seed(config.seed)
    schedule = learning_rate_schedule(config.optimization, 100_000, batch_size)
    mixer = compiled_model(config, source, schedule)
    mixer.optimizer.build(mixer.trainable_variables)
    mixer.optimizer.iterations.assign(config.optimization.warmup_steps)
    before = weights(mixer)
    losses = Losses()
    batches = training_batches(source, data, config.augmentation, config.seed)
    mixer.fit(batches, steps_per_epoch=2, epochs=1, verbose=0, callbacks=[losses], shuffle=False)

    assert losses.means[0] == pytest.approx(first_loss(config, classes), rel=1e-5)
    assert len(losses.means) == 2 and math.isfinite(losses.means[1])
    assert losses.means[1] != losses.means[0]
    assert mixer.input_shape == (None, data.image_size, data.image_size, source.channels)
    assert mixer.output_shape == (None, classes)
    after = weights(mixer)
    for layer in ("stem", "head"):  # the second step reaches the stem, below a head of zeros
        assert np.isfinite(after[layer]).all()
        assert (after[layer] != before[layer]).any()


def weights(mixer):
    return {
        name: keras.ops.convert_to_numpy(mixer.get_layer(name).kernel).copy()
        for name in ("stem", "head")
    }


@pytest.mark.long
@pytest.mark.parametrize(
    "name", [*EVERYWHERE, *rotated(name for name in RECIPES if name not in EVERYWHERE)]
)
def test_two_steps(name, published):
    """With few blocks if the recipe has a size from the paper; all else is unchanged."""
    run_two_steps(name, published, whole=name in WHOLE)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in RECIPES if name not in WHOLE])
def test_two_steps_with_all_blocks(name, published):
    run_two_steps(name, published, whole=True, batch_size=1)


@pytest.mark.backend("torch")
def test_the_size_of_the_mixer_for_cifar10():
    """1.13 million, as in the recipe that it is taken from."""
    config = RECIPES["cifar10-scratch"].CONFIG
    mixer = build_model(config.model, config.data.image_size, source_like("cifar10"))
    assert mixer.count_params() == 1_132_170


@pytest.mark.backend("torch")
def test_the_larger_model_with_one_option():
    """`--variant L/16`, as the documentation of fine-tuning says."""
    config = RECIPES["finetune-imagenet-448"].CONFIG.vary(variant="L/16")
    config.check()
    assert config.model.size == SIZES["L/16"]


@pytest.mark.backend("torch")
def test_every_file_is_a_recipe():
    files = Path(recipes.__file__).parent.glob("[!_]*.py")
    assert RECIPES.keys() == {file.stem.replace("_", "-") for file in files}
