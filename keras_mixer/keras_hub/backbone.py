"""Mixer without its head, as a backbone of KerasHub."""

import keras
import keras_hub
from keras import ops
from keras.dtype_policies import DTypePolicyMap

from keras_mixer.keras_hub.image_shape import (
    check_data_format,
    check_image_shape,
    from_channels_last,
)
from keras_mixer.keras_hub.presets import PRESETS, is_checkpoint, open_checkpoint
from keras_mixer.layers.dtype_policy import get_policy
from keras_mixer.mixer import MixerConfig, mixer
from keras_mixer.validation import (
    check_bools,
    check_patch_size,
    check_positive_ints,
    check_rate,
)


@keras.saving.register_keras_serializable("keras_mixer")
class MixerBackbone(keras_hub.models.Backbone):
    """MLP-Mixer without its head (section 2 of the paper).

    The output is the map of tokens after the final LayerNorm, `(batch, rows, columns,
    hidden_dim)`, or `(batch, hidden_dim, rows, columns)` with the channels first. There is one
    scale only, so it is no feature pyramid.

    Pixels are expected in the range of the weights, which `MixerImageConverter` scales them to.

    Args:
        patch_size: P, the side of a square patch in pixels, or `(height, width)`.
        hidden_dim: C, the width of a token.
        num_blocks: Number of Mixer blocks.
        tokens_mlp_dim: D_S, hidden width of the token-mixing MLPs.
        channels_mlp_dim: D_C, hidden width of the channel-mixing MLPs.
        image_shape: `(height, width, channels)`, or `(channels, height, width)` with the channels
            first. It is fixed, and the patch divides it. Defaults to 224 × 224 pixels in RGB.
        approximate_gelu: Whether GELU is the tanh approximation, as in Google's weights, or the
            exact erf, as in MIIL's.
        drop_path_rate: Rate of stochastic depth in the last block; it grows linearly from 0.
        dropout_rate: Dropout rate inside the MLPs.
        rescale_drop_path: Whether stochastic depth rescales the survivors.
        rematerialize: Whether training recomputes each block instead of keeping its activations.
        data_format: `"channels_last"` or `"channels_first"`, of the input and the output; the
            blocks compute the same either way. Defaults to `keras.config.image_data_format()`.
        dtype: Dtype or dtype policy of the layers. Defaults to Keras's global policy.
        **kwargs: `name` and `trainable`.

    Raises:
        ValueError: If an argument is invalid.
    """

    presets = PRESETS

    def __init__(
        self,
        patch_size,
        hidden_dim,
        num_blocks,
        tokens_mlp_dim,
        channels_mlp_dim,
        image_shape=None,
        approximate_gelu=True,
        drop_path_rate=0.0,
        dropout_rate=0.0,
        rescale_drop_path=False,
        rematerialize=False,
        data_format=None,
        dtype=None,
        **kwargs,
    ):
        owner = "MixerBackbone"
        patch_size = check_patch_size(owner, patch_size)
        data_format = check_data_format(owner, data_format)
        if image_shape is None:
            image_shape = from_channels_last((224, 224, 3), data_format)
        height, width, _ = check_image_shape(owner, image_shape, patch_size, data_format)
        arguments = {
            "patch_size": patch_size,
            **check_positive_ints(
                owner,
                hidden_dim=hidden_dim,
                num_blocks=num_blocks,
                tokens_mlp_dim=tokens_mlp_dim,
                channels_mlp_dim=channels_mlp_dim,
            ),
            **check_bools(
                owner,
                approximate_gelu=approximate_gelu,
                rescale_drop_path=rescale_drop_path,
                rematerialize=rematerialize,
            ),
            "drop_path_rate": check_rate(owner, "drop_path_rate", drop_path_rate),
            "dropout_rate": check_rate(owner, "dropout_rate", dropout_rate),
        }

        policy = get_policy(dtype)
        images = keras.Input(tuple(image_shape), name="images")
        x = images
        if data_format == "channels_first":
            x = ops.transpose(x, (0, 2, 3, 1))  # (batch, height, width, channels)
        config = MixerConfig(
            **arguments,
            value_range=None,
            classes=None,
            classifier_activation=None,
            pooling=None,
            policy=policy,
        )
        x = mixer(x, config)  # (batch, patches, hidden_dim)
        grid = (height // patch_size[0], width // patch_size[1])
        to_map = keras.layers.Reshape((*grid, hidden_dim), name="feature_map", dtype=policy)
        x = to_map(x)  # (batch, rows, columns, hidden_dim)
        if data_format == "channels_first":
            x = ops.transpose(x, (0, 3, 1, 2))  # (batch, hidden_dim, rows, columns)
        super().__init__(inputs=images, outputs=x, dtype=dtype, **kwargs)

        for name, value in arguments.items():
            setattr(self, name, value)
        self.image_shape = tuple(image_shape)
        self.data_format = data_format

    def get_config(self):
        return {
            "name": self.name,
            "trainable": self.trainable,
            "dtype": keras.dtype_policies.serialize(self._policy_with_quantization()),
            "patch_size": self.patch_size,
            "hidden_dim": self.hidden_dim,
            "num_blocks": self.num_blocks,
            "tokens_mlp_dim": self.tokens_mlp_dim,
            "channels_mlp_dim": self.channels_mlp_dim,
            "image_shape": self.image_shape,
            "approximate_gelu": self.approximate_gelu,
            "drop_path_rate": self.drop_path_rate,
            "dropout_rate": self.dropout_rate,
            "rescale_drop_path": self.rescale_drop_path,
            "rematerialize": self.rematerialize,
            "data_format": self.data_format,
        }

    def _policy_with_quantization(self):
        """Return the dtype policy, with those of layers that were quantized since.

        KerasHub collects the same in a map without a default, which erases the names of the
        layers' own policies when it is serialized.
        """
        policy = get_policy(self.dtype_policy)
        quantized = {
            layer.path: keras.dtype_policies.get(layer.dtype_policy.name)
            for layer in self._flatten_layers(include_self=False)
            if layer.quantization_mode is not None
        }
        if isinstance(policy, DTypePolicyMap) or not quantized:
            return policy
        return DTypePolicyMap(policy, quantized)

    @classmethod
    def from_preset(cls, preset, load_weights=True, **kwargs):
        """Load a preset of KerasHub, one of `presets`, or a weight file of keras_mixer.

        Args:
            preset: A folder that `save_to_preset` wrote, `hf://USER/REPO` or another handle of
                KerasHub; a name in `presets`; or the path of a `.npz`, `.safetensors`, `.keras` or
                `.weights.h5` file of a Mixer in any layout that `keras_mixer` reads.
            load_weights: Whether to load the weights, or else initialize them.
            **kwargs: Replace arguments of the preset. For names and weight files, `image_shape`
                and `resolution` adapt the weights to another size as `keras_mixer.MlpMixer` does.
        """
        if not is_checkpoint(preset):
            return super().from_preset(preset, load_weights, **kwargs)
        with open_checkpoint(preset, load_weights) as checkpoint:
            return checkpoint.build_backbone(cls, **kwargs)

    def default_lora_layer_names(self):
        """Return the names of all dense layers in the blocks."""
        return ["Dense_0", "Dense_1"]
