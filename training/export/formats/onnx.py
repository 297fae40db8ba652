"""ONNX: one file for ONNX Runtime, also in browsers, and for many other programs."""

import functools
import os
import warnings

import numpy as np

from keras_mixer.files import open_regular

METADATA = "keras_mixer"  # key in `metadata_props`


def write(model, path, metadata):
    """See `training.export.formats`."""
    _convert_erfc()
    with warnings.catch_warnings():
        # Keras looks for an alias that NumPy removed.
        warnings.filterwarnings("ignore", ".*np.object", FutureWarning)
        model.export(os.fspath(path), format="onnx", verbose=False)
    write_properties(path, {METADATA: metadata})


def load(path):
    """See `training.export.formats`."""
    import onnxruntime

    onnxruntime.disable_telemetry_events()
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (image,) = session.get_inputs()
    names = [output.name for output in session.get_outputs()]

    def run(pixels):
        return dict(zip(names, session.run(names, {image.name: pixels}), strict=True))

    return run


def read_metadata(path):
    """See `training.export.formats`."""
    return read_properties(path)[METADATA]


def read_properties(path):
    """Return all `metadata_props` of a file, `{key: text}`."""
    import onnx

    with open_regular(path) as file:
        proto = onnx.load(file, load_external_data=False)
    return {entry.key: entry.value for entry in proto.metadata_props}


def write_properties(path, properties):
    """Set the `metadata_props` of a file, `{key: text}`."""
    import onnx

    proto = onnx.load(path)
    onnx.helper.set_model_props(proto, properties)
    onnx.save(proto, path)


@functools.cache
def _convert_erfc():
    """Teach tf2onnx the operation in TensorFlow's exact GELU: erfc(x) = 1 + erf(-x)."""
    from tf2onnx.handler import tf_op
    from tf2onnx.utils import make_name

    @tf_op("Erfc")
    class Erfc:
        @classmethod
        def version_9(cls, context, node, **kwargs):
            (x,), (y,) = node.input, node.output
            shapes, dtypes = [context.get_shape(y)], [context.get_dtype(y)]
            context.remove_node(node.name)
            negated = context.make_node("Neg", [x]).output
            erf = context.make_node("Erf", negated).output
            one = context.make_const(make_name("one"), np.ones((), np.float32)).output
            context.make_node(
                "Add", [*one, *erf], outputs=[y], name=node.name, shapes=shapes, dtypes=dtypes
            )
