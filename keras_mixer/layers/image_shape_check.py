"""The check that images have the shape that a model was built for."""

import keras
from keras import ops

JAX_ADVICE = (
    " If fit, evaluate or predict raised this error, load the model again: on JAX, Keras drops "
    "the weights of a model when one of its steps fails."
)


@keras.saving.register_keras_serializable("keras_mixer")
class ImageShapeCheck(keras.layers.Layer):
    """Return images unchanged; raise ValueError unless they have the shape of the model's input.

    Keras checks the input of a model too, except in the compiled steps of JAX, and lets a last
    axis of size 1 pass. The stem would then crop images to whole patches, and images with as many
    patches in another grid would be mixed by weights that do not fit.

    Shapes are known while a step is traced, so the check adds nothing to a compiled step. Only if
    TensorFlow retraces a step for images of several sizes, which are then not known, does the step
    itself compare them.

    Args:
        **kwargs: Arguments of every Keras layer, such as `name` and `dtype`.

    Raises:
        ValueError: If images have another height, width or number of channels than those that
            the layer was built on. TensorFlow's own error in a step that was retraced.
    """

    def __init__(self, **kwargs):
        super().__init__(autocast=False, **kwargs)
        self.supports_masking = True

    def build(self, input_shape):
        self.image_shape = tuple(input_shape[1:])

    def call(self, images):
        self._check(tuple(images.shape))
        if None in images.shape[1:]:
            # All but the first axis must agree; there is no assertion in keras.ops.
            none_of_the_right_shape = ops.zeros((0, *self.image_shape), images.dtype)
            return ops.concatenate([images, none_of_the_right_shape], axis=0)
        return images

    def compute_output_spec(self, images):
        self._check(tuple(images.shape))
        return keras.KerasTensor(images.shape, images.dtype)

    def get_config(self):
        return super().get_config()  # Keras's automatic one takes no policy as `dtype`

    def _check(self, shape):
        if (
            len(shape) == 4
            and all(
                size in (None, expected)  # None: not known while tracing
                for size, expected in zip(shape[1:], self.image_shape, strict=True)
            )
        ):
            return
        height, width, channels = self.image_shape
        raise ValueError(
            f"{self.name}: images must have the size that the model was built for, {height} × "
            f"{width} pixels with {channels} channels last. Received: images of shape {shape}. "
            + _advice(shape, self.image_shape)
            + (JAX_ADVICE if keras.backend.backend() == "jax" else "")
        )


def _advice(shape, expected):
    height, width, channels = expected
    if shape[1:] == (channels, height, width):
        return (
            "Put the channels last, whatever `image_data_format` is: "
            "keras.ops.transpose(images, (0, 2, 3, 1))."
        )
    if shape[1:3] != (height, width):
        return (
            f"Resize them: keras.ops.image.resize(images, ({height}, {width}), "
            'data_format="channels_last").'
        )
    return {
        (1, 3): "Repeat the gray channel: keras.ops.repeat(images, 3, axis=-1).",
        (4, 3): "Drop the alpha channel: images[..., :3].",
        (3, 1): "Convert them to gray: keras.ops.image.rgb_to_grayscale(images).",
    }.get((shape[-1], channels), f"Pass images with {channels} channels.")
