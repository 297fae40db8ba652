"""Image classifier of KerasHub with a Mixer."""

import keras
import keras_hub
from keras.dtype_policies import DTypePolicyMap

from keras_mixer.keras_hub.backbone import MixerBackbone
from keras_mixer.keras_hub.image_shape import to_channels_last
from keras_mixer.keras_hub.preprocessor import MixerImageClassifierPreprocessor
from keras_mixer.keras_hub.presets import PRESETS, is_checkpoint, open_checkpoint
from keras_mixer.layers.dtype_policy import get_policy

OF_THE_BACKBONE = ("dtype", "image_shape", "data_format", "resolution")


@keras.saving.register_keras_serializable("keras_mixer")
class MixerImageClassifier(keras_hub.models.ImageClassifier):
    """Mixer that classifies images.

    `keras_hub.models.ImageClassifier` documents the arguments. With a preset, the head and its
    number of classes are those of the checkpoint unless `num_classes` is given.

    Args:
        backbone: A `MixerBackbone`.
        num_classes: Number of classes.
        preprocessor: Usually a `MixerImageClassifierPreprocessor`. With None, images must already
            have the size and the range of the backbone.
        pooling: `"avg"`, as in the paper, or `"max"`, over the tokens.
        activation: Activation of the head. Defaults to None, for logits.
        dropout: Dropout rate before the head.
        head_dtype: Dtype of pooling and head. Defaults to that of the backbone's variables, as in
            the models of `keras_mixer`: half precision loses too much there.
        **kwargs: Other arguments of `keras_hub.models.ImageClassifier`.
    """

    backbone_cls = MixerBackbone
    preprocessor_cls = MixerImageClassifierPreprocessor
    presets = PRESETS

    def __init__(
        self,
        backbone,
        num_classes,
        preprocessor=None,
        pooling="avg",
        activation=None,
        dropout=0.0,
        head_dtype=None,
        **kwargs,
    ):
        super().__init__(
            backbone,
            num_classes,
            preprocessor,
            pooling,
            activation,
            dropout,
            get_policy(head_dtype or backbone.dtype_policy.variable_dtype),
            **kwargs,
        )

    def get_config(self):
        # KerasHub leaves it out, so a head that was quantized could not be loaded.
        head_dtype = keras.dtype_policies.serialize(self._head_policy())
        return {**super().get_config(), "head_dtype": head_dtype}

    def _head_policy(self):
        """Return the dtype policy of pooling and head, the latter as it may be quantized since."""
        policy, dense = self.pooler.dtype_policy, self.output_dense
        if isinstance(policy, DTypePolicyMap) or dense.quantization_mode is None:
            return policy
        quantized = keras.dtype_policies.get(dense.dtype_policy.name)
        return DTypePolicyMap(policy, {dense.path: quantized})

    @classmethod
    def from_preset(cls, preset, load_weights=True, **kwargs):
        """Load a preset with its head and preprocessing; see `MixerBackbone.from_preset`.

        Args:
            preset: As for `MixerBackbone.from_preset`.
            load_weights: Whether to load the weights, or else initialize them.
            **kwargs: Arguments of the class, of which `num_classes` asks for a new head, and
                `dtype`, `image_shape`, `data_format` and `resolution` of the backbone.

        Raises:
            ValueError: If a weight file has no head and `num_classes` is not given, or if
                `backbone` is given together with arguments of it.
        """
        if not is_checkpoint(preset):
            return super().from_preset(preset, load_weights, **kwargs)
        has_new_head = "num_classes" in kwargs
        of_backbone = {name: kwargs.pop(name) for name in OF_THE_BACKBONE if name in kwargs}
        if "backbone" in kwargs and of_backbone:
            raise ValueError(
                f"{cls.__name__}: {', '.join(f'`{name}`' for name in of_backbone)} cannot be given "
                f"with `backbone`, whose arguments they are. Received: {of_backbone}. Pass them to "
                "MixerBackbone.from_preset."
            )
        with open_checkpoint(preset, load_weights) as checkpoint:
            classes = checkpoint.architecture.classes
            if classes is None and not has_new_head:
                raise ValueError(
                    f"{cls.__name__}: `num_classes` must be given for weights without a head. "
                    f"Received: preset={str(preset)!r}. Pass the number of classes."
                )
            if "backbone" not in kwargs:
                kwargs["backbone"] = checkpoint.build_backbone(cls.backbone_cls, **of_backbone)
            if "preprocessor" not in kwargs:
                kwargs["preprocessor"] = cls._preprocessor_of(checkpoint, kwargs["backbone"])
            classifier = cls(**{"num_classes": classes, **kwargs})
            if load_weights and not has_new_head:
                checkpoint.fill_head(classifier.output_dense)
        return classifier

    @classmethod
    def _preprocessor_of(cls, checkpoint, backbone):
        """Return the preprocessing of a checkpoint, for the images that the backbone takes."""
        height, width, _ = to_channels_last(backbone.image_shape, backbone.data_format)
        converter = cls.preprocessor_cls.image_converter_cls(
            image_size=(height, width), data_format=backbone.data_format, **checkpoint.scaling
        )
        return cls.preprocessor_cls(image_converter=converter)
