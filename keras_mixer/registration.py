"""Registration of the layers with Keras, at the latest when Keras is imported.

`keras.saving.load_model` finds the layers of a `.keras` file by the names that their classes are
registered under. A program may only write `import keras_mixer`, which does not import Keras, so
an import hook registers the layers as soon as something else does.
"""

import sys


def register_layers():
    """Register the layers now if Keras is imported, otherwise right after it is imported."""
    if "keras" in sys.modules:
        _register()
    elif not any(isinstance(finder, _KerasFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _KerasFinder())


def _register():
    # A statement, not importlib.import_module: if another thread imports the layers now and waits
    # for Keras, Python resolves the deadlock of the two import locks for statements only.
    import keras_mixer.layers  # noqa: F401  its decorators register the classes


class _KerasFinder:
    """Import hook that finds Keras as usual and registers the layers once it is loaded."""

    def find_spec(self, fullname, path=None, target=None):
        if fullname != "keras":
            return None
        others = (finder for finder in sys.meta_path if finder is not self)
        found = (finder.find_spec(fullname, path, target) for finder in others)
        spec = next(filter(None, found), None)
        if spec is not None and spec.loader is not None:
            self._register_after(spec.loader)
        return spec

    def _register_after(self, loader):
        execute = loader.exec_module

        def execute_and_register(module):
            execute(module)
            if self in sys.meta_path:
                sys.meta_path.remove(self)
            _register()

        loader.exec_module = execute_and_register
