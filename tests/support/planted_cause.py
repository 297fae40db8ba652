"""Images whose class is decided by one patch, and a small Mixer trained on them."""

import keras
import numpy as np

import keras_mixer

ROWS, COLUMNS, PATCH = 5, 6, 4
NOISE = 20  # standard deviation of the pixels around 128
IMAGES, BATCH_SIZE, EPOCHS = 8192, 64, 5

_COLORS = np.array([(1, -0.7, -0.7), (-0.7, 1, -0.7), (-0.7, -0.7, 1), (1, 1, -0.7), (1, -0.7, 1)])
_LINES, _PAIRS = np.tile([1.0, -1.0], 2), np.repeat([1.0, -1.0], 2)
_FLAT = np.ones(PATCH)
_STRIPES = [(_LINES, _FLAT), (_FLAT, _LINES), (_LINES, _LINES), (_PAIRS, _FLAT), (_PAIRS, _PAIRS)]
# What is added to a patch, (patch, patch, 3): one for each class, and last that of the decoy.
# Textures have either sign, so that no linear function of the pixels tells them apart.
PATTERNS = {
    "color": np.tile(_COLORS[:, None, None], (1, PATCH, PATCH, 1)) * 100,
    "texture": np.array([np.tile(np.outer(*s)[..., None], (1, 1, 3)) for s in _STRIPES]) * 80,
}
CLASSES = 4


def planted_images(kind, number, seed):
    """Return images of noise, in which one patch is the cause of the class and one is a decoy.

    Args:
        kind: A key of `PATTERNS`.
        number: Number of images.
        seed: Seed of everything.

    Returns:
        The images, uint8 `(number, height, width, 3)`, and for each its class, the number of the
        patch of the cause, and that of the decoy.
    """
    rng = np.random.default_rng(seed)
    pixels = rng.normal(128, NOISE, (number, ROWS, PATCH, COLUMNS, PATCH, 3))
    classes = rng.integers(0, CLASSES, number)
    places = rng.permuted(np.tile(np.arange(ROWS * COLUMNS), (number, 1)), axis=1)[:, :2].T
    for place, patterns in zip(places, (classes, np.full(number, CLASSES)), strict=True):
        row, column = np.divmod(place, COLUMNS)
        signs = rng.choice([-1, 1], number) if kind == "texture" else np.ones(number)
        added = signs[:, None, None, None] * PATTERNS[kind][patterns]
        pixels[np.arange(number), row, :, column] += added
    images = pixels.reshape(number, ROWS * PATCH, COLUMNS * PATCH, 3)
    return np.clip(np.rint(images), 0, 255).astype("uint8"), classes, *places


def trained_mixer(kind):
    """Return a Mixer of logits, trained in a few seconds; all of its weights are."""
    keras.utils.set_random_seed(0)
    size = {"hidden_dim": 24, "num_blocks": 2, "tokens_mlp_dim": 16, "channels_mlp_dim": 48}
    shape = (ROWS * PATCH, COLUMNS * PATCH, 3)
    model = keras_mixer.MlpMixer(
        PATCH, **size, input_shape=shape, classes=CLASSES, classifier_activation=None
    )
    images, classes, *_ = planted_images(kind, IMAGES, seed=1)
    steps = len(images) // BATCH_SIZE * EPOCHS
    schedule = keras.optimizers.schedules.CosineDecay(
        1e-3, steps, warmup_target=1e-2, warmup_steps=steps // 10
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(schedule), loss)
    model.fit(images, classes, batch_size=BATCH_SIZE, epochs=EPOCHS, verbose=0)
    return model


def share_found(maps, places):
    """Return in which share of images the largest value of the map is at a patch."""
    return float(np.mean(maps.reshape(len(maps), -1).argmax(axis=1) == places))


def measure():
    """Print the shares for every method, layer and kind of cause: see docs/explain.md."""
    from keras_mixer import explain

    for kind in PATTERNS:
        model = trained_mixer(kind)
        images, classes, cause, decoy = planted_images(kind, 200, seed=2)
        predicted = model.predict(images, verbose=0).argmax(axis=1)
        backend = keras.backend.backend()
        print(f"{kind} on {backend}: accuracy {np.mean(predicted == classes):.3f}", flush=True)
        maps = {
            "integrated gradients": explain.integrated_gradients(model, images, batch_size=100),
            "occlusion": explain.occlusion(model, images, batch_size=620),
        }
        for layer in explain.token_layers(model):
            maps[f"Grad-CAM, {layer}"] = explain.grad_cam(model, images, layer=layer)
        for name, values in maps.items():
            found, mistaken = (share_found(values, places) for places in (cause, decoy))
            print(f"  {name:30} cause {found:.3f}  decoy {mistaken:.3f}", flush=True)


if __name__ == "__main__":
    measure()
