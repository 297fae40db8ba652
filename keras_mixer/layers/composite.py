"""Base class of the layers that are made of other layers."""

import keras

from keras_mixer.layers.dtype_policy import get_policy, policy_of


class CompositeLayer(keras.layers.Layer):
    """Layer that saves what was changed in the layers inside it.

    Keras saves the configuration of the composite layer alone. Here it has another entry,
    `sublayers`, if layers inside were frozen, quantized, or given LoRA or a dtype policy on their
    own. It maps their path within the composite layer to what distinguishes them from new ones.

    All layers inside are created in `__init__`, before `inherit_trainable`.
    """

    def __init__(self, *, dtype=None, **kwargs):
        super().__init__(dtype=get_policy(dtype), **kwargs)

    def inherit_trainable(self):
        """Freeze the layers inside if this one was created with `trainable=False`."""
        if not self.trainable:  # on TensorFlow, setting it again would do nothing
            for layer in self._flatten_layers(include_self=False, recursive=False):
                layer.trainable = False

    def get_config(self):
        config = super().get_config()
        config["dtype"] = keras.dtype_policies.serialize(policy_of(self))
        changes = {
            path: change
            for path, parent, layer in _sublayers(self)
            if (change := _change(layer, parent.trainable, config["dtype"]))
        }
        return {**config, "sublayers": changes} if changes else config

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        changes = config.pop("sublayers", {})
        composite = super().from_config(config)
        layers = {path: layer for path, _, layer in _sublayers(composite)}
        for path in sorted(changes):  # parents first: to freeze a layer freezes those inside
            if path not in layers:
                raise ValueError(
                    f"{cls.__name__}: `sublayers` must name layers inside: {', '.join(layers)}. "
                    f"Received: {path!r}. In a subclass, create layers in `__init__`, each with "
                    "a `name`."
                )
            _apply(changes[path], layers[path], cls.__name__)
        return composite


def _sublayers(parent, prefix=""):
    """Yield the path, the parent and the layer for all layers inside `parent`, parents first."""
    for layer in parent._flatten_layers(include_self=False, recursive=False):
        path = prefix + layer.name
        yield path, parent, layer
        yield from _sublayers(layer, path + "/")


def _change(layer, trainable, dtype):
    """Return what distinguishes a layer from a new one in a composite layer of type `dtype`."""
    quantization_config = getattr(layer, "quantization_config", None)
    change = {
        "trainable": layer.trainable,
        "dtype": keras.dtype_policies.serialize(policy_of(layer)),
        "quantization_config": keras.saving.serialize_keras_object(quantization_config),
        "lora_rank": getattr(layer, "lora_rank", None),
        "lora_alpha": getattr(layer, "lora_alpha", None),
    }
    new = {"trainable": trainable, "dtype": dtype}
    return {key: value for key, value in change.items() if value != new.get(key)}


def _apply(change, layer, owner):
    """Make a change to a layer that is not built yet."""
    for key, value in change.items():
        if key == "dtype":
            layer.dtype_policy = get_policy(value)
        elif key == "quantization_config":
            layer.quantization_config = keras.saving.deserialize_keras_object(value)
        elif key in ("trainable", "lora_rank", "lora_alpha"):
            setattr(layer, key, value)
        else:
            raise ValueError(
                f"{owner}: `sublayers` can change trainable, dtype, quantization_config, "
                f"lora_rank and lora_alpha. Received: {key}={value!r}. Load the file with the "
                "version of keras_mixer that saved it, or a later one."
            )
