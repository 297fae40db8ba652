"""The class scores of a model before its last activation, with access to the layers inside."""

import keras
from keras import ops
from keras.src.models.functional import Functional

ACTIVATIONS = ("softmax", "sigmoid")  # of a classifier; anything else stays where it is


class ScoreModel(keras.Model):
    """Map images to the scores of a model before a last softmax or sigmoid, `(batch, classes)`.

    It runs the graph of the model, and of the models nested in it, with its layers and variables.
    The model itself is not changed.

    Args:
        model: A `Sequential` or functional model with one input and one output.
        after: Function of a layer and its output, called after each layer of the graph; what it
            returns takes the place of the output.
    """

    def __init__(self, model, after=None):
        super().__init__(name="scores", autocast=False)
        self.model = model
        self.after = after
        self.built = True

    def call(self, images):
        replaced = _without_activation(self.model)

        def find_call(layer):
            def call(*inputs, **flags):
                if "training" in getattr(layer, "_call_context_args", ()):  # not for operations
                    flags["training"] = False  # or else augmentation layers are active
                if graph_of(layer) is not None:
                    output = _run(layer, inputs, find_call)
                else:
                    output = replaced.get(id(layer), layer)(*inputs, **flags)
                return output if self.after is None else self.after(layer, output)

            return call

        images = ops.convert_to_tensor(images, self.model.inputs[0].dtype)
        (scores,) = keras.tree.flatten(_run(self.model, images, find_call))
        return scores


def graph_of(model):
    """Return the graph of layers of a `Sequential` or functional model; None for anything else."""
    graph = getattr(model, "_functional", model)
    return graph if isinstance(graph, Functional) else None


def ends_with_activation(model):
    """Return whether a model has a last softmax or sigmoid that a `ScoreModel` leaves out."""
    return bool(_without_activation(model))


def _run(model, inputs, find_call):
    return graph_of(model)._run_through_graph(inputs, find_call)


def _without_activation(model):
    """Return `{id of the last layer: the same without its activation}`; empty if it has none."""
    last = model.outputs[0]._keras_history.operation
    if graph_of(last) is not None:  # nested, such as a Mixer with its head in a Sequential
        return _without_activation(last)
    if type(last).__name__.lower() in ACTIVATIONS:  # `keras.layers.Softmax`, or `ops.sigmoid`
        return {id(last): lambda x, **flags: x}
    if getattr(getattr(last, "activation", None), "__name__", None) not in ACTIVATIONS:
        return {}
    # The same layer, with the same variables, but for one attribute. `copy` would save and load it.
    linear = object.__new__(type(last))
    linear.__dict__.update(vars(last), activation=keras.activations.linear)
    return {id(last): linear}
