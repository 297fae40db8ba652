"""The three methods: integrated gradients, occlusion and Grad-CAM."""

import numpy as np
from keras import StatelessScope, ops

from keras_mixer import kernels
from keras_mixer.explain.checks import check_classes, check_fill, check_images, count_classes
from keras_mixer.explain.score_model import ScoreModel, ends_with_activation, graph_of
from keras_mixer.explain.tokens import (
    LAST_TOKENS,
    STEM,
    find_mixer,
    find_token_layer,
    patch_grid,
)
from keras_mixer.validation import check_positive_int


def grad_cam(model, images, class_index=None, layer: str = LAST_TOKENS, batch_size: int = 8):
    """Return Grad-CAM of the tokens of a layer, a map of the patches for each image.

    With the tokens X of the layer, `(patches, channels)`, S patches, and the logit y of a class,
    patch j has

        M[j] = Σ α[c] · X[j, c]  over the channels c
        α[c] = 1/S Σ ∂y / ∂X[i, c]  over the patches i

    These are equations 1 and 2 of Grad-CAM (arXiv 1610.02391) without the ReLU: what is negative
    is evidence against the class. The mean over the patches matters. Before a LayerNorm, the
    product of a token and its own gradient is 0, since the norm removes the scale of each token.

    At the default layer, the last normalization, the map is exact: the head is a linear function
    of the mean of these tokens, so bias + Σ M[j] = y.

    It shows where the head reads its evidence. That need not be where the evidence is in the image:
    token mixing moves information between all patches in every block. In a test with a known cause
    it found the patch in a tenth of the images; see `docs/explain.md`.

    Args:
        model: A Mixer, or a `Sequential` or functional model with one inside.
        images: Images as the model takes them, `(batch, height, width, channels)`.
        class_index: Class to explain: a number, or one for each image. Defaults to the class with
            the highest score of each image.
        layer: Name of a layer of the Mixer that returns one token for each patch; see
            `token_layers`.
        batch_size: Number of images that are computed at once.

    Returns:
        `(batch, rows, columns)`, float32, with one number for each patch, in units of the logit.

    Raises:
        ValueError: If the model has no Mixer, or is not made of connected layers, if the images or
            the classes do not fit it, or if the layer does not return tokens.

    Examples:
        >>> import keras_mixer
        >>> import numpy as np
        >>> model = keras_mixer.MlpMixer(4, 16, 2, 8, 32, input_shape=(16, 24, 3), classes=10)
        >>> images = np.zeros((2, 16, 24, 3), "uint8")
        >>> keras_mixer.explain.grad_cam(model, images).shape
        (2, 4, 6)
    """

    def compute(images, classes, layer):
        scores, tokens = _scores_and_tokens(model, images, layer)
        gradient = _gradient(model, images, _chosen(classes, scores), layer, tokens)
        return _as_table(tokens) * _as_table(gradient).mean(axis=1, keepdims=True)

    return _map_by_gradients(model, images, class_index, layer, batch_size, compute)


def integrated_gradients(
    model, images, class_index=None, fill=None, steps: int = 16, batch_size: int = 8
):
    """Return integrated gradients of the patches, a map for each image.

    With the tokens X of the stem, `(patches, channels)`, and those of an image of one color, B,
    patch j has

        M[j] = Σ (X[j, c] - B[j, c]) · G[j, c]  over the channels c

    where G is the mean of ∂y / ∂X along the straight path from B to X (Sundararajan et al., arXiv
    1703.01365, equations 1 and 3). The stem is linear, so this is the sum over the pixels of the
    patch. Σ M[j] is the difference of the logits of the image and of the one color, but for the
    error of the mean of `steps` points.

    It finds causes whatever the later blocks do with their tokens. But the interpolated images are
    not natural ones, the result depends on the color, and a cause that looks like it has no weight.

    Args:
        model: A Mixer, or a `Sequential` or functional model with one inside.
        images: Images as the model takes them, `(batch, height, width, channels)`.
        class_index: Class to explain: a number, or one for each image. Defaults to the class with
            the highest score of each image.
        fill: Color of the baseline image: a number, or one for each channel. Defaults to the
            mean gray of the image, the mean over its pixels and channels.
        steps: Number of steps along the path: more take longer and are more exact.
        batch_size: Number of images that are computed at once.

    Returns:
        `(batch, rows, columns)`, float32, with one number for each patch, in units of the logit.

    Raises:
        ValueError: If the model has no Mixer, or is not made of connected layers, or if the images,
            the classes or the color do not fit it.

    Examples:
        >>> import keras_mixer
        >>> import numpy as np
        >>> model = keras_mixer.MlpMixer(4, 16, 2, 8, 32, input_shape=(16, 24, 3), classes=10)
        >>> images = np.zeros((2, 16, 24, 3), "uint8")
        >>> keras_mixer.explain.integrated_gradients(model, images, class_index=3).shape
        (2, 4, 6)
    """
    steps = check_positive_int("explain", "steps", steps)

    def compute(images, classes, layer):
        flat = np.broadcast_to(check_fill(fill, images)[:, None, None], images.shape)
        scores, end = _scores_and_tokens(model, images, layer)
        _, start = _scores_and_tokens(model, flat, layer)
        classes = _chosen(classes, scores)
        total = 0
        for step in range(steps):
            tokens = start + (step + 0.5) / steps * (end - start)
            total += _as_table(_gradient(model, images, classes, layer, tokens)) / steps
        return _as_table(end - start) * total

    return _map_by_gradients(model, images, class_index, STEM, batch_size, compute)


def _map_by_gradients(model, images, class_index, layer, batch_size, compute):
    """Return the sums over the channels of what `compute` returns, `(batch, rows, columns)`.

    `compute` takes some images, their classes and the layer, and returns a table
    `(images, patches, channels)`.
    """
    mixer = find_mixer(model)
    if graph_of(model) is None:
        raise ValueError(
            "explain: `model` must be a Sequential or functional model for gradients of tokens. "
            f"Received: {type(model).__name__}, a subclass with a `call` of its own. Use "
            "explain.occlusion, or pass the Mixer that it calls."
        )
    images = check_images(model, images)
    batch_size = check_positive_int("explain", "batch_size", batch_size)
    layer = find_token_layer(mixer, layer)
    classes = check_classes(class_index, len(images), count_classes(model, images))
    # Constants, so that PyTorch keeps no intermediate values for gradients by weights.
    constants = [(v, ops.stop_gradient(v.value)) for v in model.variables]
    maps = []
    for start in range(0, len(images), batch_size):
        batch = slice(start, start + batch_size)
        with StatelessScope(constants):
            maps.append(compute(images[batch], classes[batch], layer).sum(axis=-1))
    return np.concatenate(maps).reshape(-1, *patch_grid(mixer))


def _scores_and_tokens(model, images, layer):
    """Return the scores, `(batch, classes)`, and the output of a layer."""
    outputs = []

    def after(called, output):
        if called is layer:
            outputs.append(output)
        return output

    scores = ScoreModel(model, after)(images)
    return scores, outputs[0]


def _gradient(model, images, classes, layer, tokens):
    """Return the gradient of the scores of `classes`, `(batch,)`, by the output of a layer.

    Args:
        model: The model.
        images: The images, on which layers that are parallel to `layer` depend.
        classes: The class of each image.
        layer: The layer.
        tokens: What takes the place of its output, where the gradient is computed.
    """

    def score(tokens):
        after = lambda called, output: tokens if called is layer else output  # noqa: E731
        scores = ScoreModel(model, after)(images)
        return ops.sum(scores * ops.one_hot(classes, scores.shape[-1], dtype=scores.dtype)), None

    return kernels.gradient(score, tokens)[0]


def _chosen(classes, scores):
    """Return `classes`, with the one of the highest score in the place of -1."""
    predicted = ops.convert_to_numpy(scores).argmax(axis=-1)
    return np.where(classes < 0, predicted, classes)


def _as_table(tokens):
    """Return tokens, `(batch, patches, channels)` or in rows and columns, as a float32 table."""
    tokens = ops.convert_to_numpy(ops.cast(tokens, "float32"))
    return tokens.reshape(len(tokens), -1, tokens.shape[-1])


def occlusion(model, images, class_index=None, fill=None, batch_size: int = 32):
    """Return by how much the score of a class drops without each patch, a map for each image.

    Each patch in turn is filled with one color (Zeiler and Fergus, arXiv 1311.2901, section 4.2),
    and the model is called again: S + 1 images for a map of S patches. Nothing inside of the model
    is looked at, so the map says what the model does with these images. But an image with a flat
    patch is unusual input, the result depends on the color, and of two patches that each suffice
    for the class none is found, because the other one is still there.

    Args:
        model: A Mixer, or a Keras model with one inside, from images to scores of classes.
        images: Images as the model takes them, `(batch, height, width, channels)`.
        class_index: Class to explain: a number, or one for each image. Defaults to the class with
            the highest score of each image.
        fill: Value of the pixels of an occluded patch: a number, or one for each channel. Defaults
            to the mean gray of the image, the mean over its pixels and channels.
        batch_size: Number of occluded images that are computed at once.

    Returns:
        `(batch, rows, columns)`, float32: score of the image - score without the patch. Scores are
        those before a last softmax or sigmoid.

    Raises:
        ValueError: If the model has no Mixer, or if the images, the classes or the color do not
            fit it.

    Examples:
        >>> import keras_mixer
        >>> import numpy as np
        >>> model = keras_mixer.MlpMixer(4, 16, 2, 8, 32, input_shape=(16, 24, 3), classes=10)
        >>> images = np.zeros((2, 16, 24, 3), "uint8")
        >>> keras_mixer.explain.occlusion(model, images, class_index=3).shape
        (2, 4, 6)
    """
    mixer = find_mixer(model)
    images = check_images(model, images)
    batch_size = check_positive_int("explain", "batch_size", batch_size)
    fill = check_fill(fill, images)
    rows, columns = patch_grid(mixer)
    cells = [None, *_cells(images.shape[1:3], rows, columns)]  # None: the image as it is
    classes = check_classes(class_index, len(images), count_classes(model, images))
    if graph_of(model) is not None and ends_with_activation(model):
        model = ScoreModel(model)
    scores = np.empty(len(images) * len(cells), "float32")
    batch_size = min(batch_size, len(scores))
    for start in range(0, len(scores), batch_size):
        numbers = np.arange(start, min(start + batch_size, len(scores)))
        which, cell = np.divmod(numbers, len(cells))
        batch = images[np.pad(which, (0, batch_size - len(which)), "edge")]  # one shape, compiled
        for image, i, c in zip(batch, which, cell, strict=False):
            if cells[c] is not None:
                image[cells[c]] = fill[i]
        found = ops.convert_to_numpy(model.predict_on_batch(batch))[: len(numbers)]
        found = found.astype("float32")  # (numbers, classes)
        predicted = np.where(classes[which] < 0, found.argmax(axis=-1), classes[which])
        classes[which[cell == 0]] = predicted[cell == 0]  # the first of each image is unchanged
        scores[numbers] = found[np.arange(len(numbers)), classes[which]]
    table = scores.reshape(len(images), len(cells))
    return (table[:, :1] - table[:, 1:]).reshape(-1, rows, columns)


def _cells(size, rows, columns):
    """Return the index of the pixels of each patch, row by row, for images of `size`."""
    tops, lefts = (
        np.linspace(0, pixels, number + 1).round().astype(int)
        for pixels, number in zip(size, (rows, columns), strict=True)
    )
    return [
        (slice(*tops[i : i + 2]), slice(*lefts[j : j + 2]))
        for i in range(rows)
        for j in range(columns)
    ]
