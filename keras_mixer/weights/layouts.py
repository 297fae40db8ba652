"""Layouts: how programs name and orient the arrays of a Mixer.

Google's names are the canonical ones, such as `MixerBlock_0/token_mixing/Dense_0/kernel`. Any
other layout is a list of replacements that turn a canonical name into its own.
"""

import collections
import dataclasses
import re

import numpy as np

from keras_mixer.weights.architecture import Architecture
from keras_mixer.weights.formats import ArrayFile, WeightsError

MOST_LISTED = 5  # names in a message
LONGEST_NAME = 200  # characters of one in a message


@dataclasses.dataclass(frozen=True)
class Layout:
    """Names and orientation of the arrays in one program, and the GELU that it computes."""

    name: str
    replacements: tuple[tuple[str, str], ...]
    transposed: bool = False  # PyTorch: (out, in), and (out, in, height, width)
    approximate_gelu: bool = True  # of the program, if a file does not say

    def rename(self, canonical):
        """Return the layout's name of an array."""
        for ours, theirs in self.replacements:
            canonical = canonical.replace(ours, theirs)
        return canonical

    def axes_to_canonical(self, rank):
        """Return the axes that transpose an array of this layout to the canonical orientation."""
        transposed = {2: (1, 0), 4: (2, 3, 1, 0)} if self.transposed else {}
        return transposed.get(rank, tuple(range(rank)))

    def axes_from_canonical(self, rank):
        """Return the axes of the inverse transposition."""
        return tuple(np.argsort(self.axes_to_canonical(rank)))


GOOGLE = Layout("google", ())  # the authors' Flax code
PRE_LINEN = Layout(  # Flax before its linen interface
    "pre-linen",
    (
        ("stem/", "embedding/"),
        ("pre_head_layer_norm", "Mixer/encoder_norm"),
        ("MixerBlock_", "Mixer/encoderblock_"),
        ("token_mixing/", "token_mixing_phase_0/"),
        ("channel_mixing/", "channel_mixing_phase_0/"),
        ("Dense_0/kernel", "kernel1"),
        ("Dense_0/bias", "bias1"),
        ("Dense_1/kernel", "kernel2"),
        ("Dense_1/bias", "bias2"),
    ),
)
TIMM = Layout(
    "timm",
    (
        ("stem/", "stem.proj."),
        ("pre_head_layer_norm", "norm"),
        ("MixerBlock_", "blocks."),
        ("LayerNorm_0", "norm1"),
        ("LayerNorm_1", "norm2"),
        ("token_mixing", "mlp_tokens"),
        ("channel_mixing", "mlp_channels"),
        ("Dense_0", "fc1"),
        ("Dense_1", "fc2"),
        ("kernel", "weight"),
        ("scale", "weight"),
        ("/", "."),
    ),
    transposed=True,
    approximate_gelu=False,
)
KERAS = Layout(  # inside .weights.h5 and .keras, where layers are numbered by class
    "keras",
    (
        ("stem/", "layers/conv2d/"),
        ("pre_head_layer_norm", "layers/layer_normalization"),
        ("head/", "layers/dense/"),
        ("MixerBlock_0/", "layers/mixer_block/"),
        ("MixerBlock_", "layers/mixer_block_"),
        ("LayerNorm_", "layer_norm_"),
        ("Dense_", "dense_"),
        ("kernel", "vars/0"),
        ("scale", "vars/0"),
        ("/bias", "/vars/1"),
    ),
)
LAYOUTS = {layout.name: layout for layout in (GOOGLE, TIMM, PRE_LINEN, KERAS)}
CHOICES = tuple(name for name in LAYOUTS if name != KERAS.name)  # in files that can hold any names
TREES = ("", "params/", "opt/target/")  # prefixes of the parameters in a Flax file


@dataclasses.dataclass(frozen=True)
class MixerFile:
    """An open file of Mixer weights, with canonical names and orientation."""

    arrays: ArrayFile
    layout: Layout
    stored_names: dict[str, str]  # the layout's name → the name in the file
    architecture: Architecture

    @property
    def path(self):
        return self.arrays.path

    def shape(self, name):
        """Return the shape of an array, or None if the file does not have it."""
        return _shape(self.arrays, self.layout, self.stored_names, name)

    def read(self, name):
        """Return an array; call `check` first."""
        stored = self.stored_names[self.layout.rename(name)]
        array = self.arrays.read(stored)
        if self.layout is PRE_LINEN:
            return array.reshape(self.shape(name))
        return array.transpose(self.layout.axes_to_canonical(array.ndim))

    def check(self, expected):
        """Check the file against `{name: shape}`.

        Raises:
            WeightsError: If arrays are missing, unexpected, misshapen or not float32; it lists
                them.
        """
        known = {self.layout.rename(name) for name in expected}
        stored = {name: self.stored_names.get(self.layout.rename(name)) for name in expected}
        faults = {
            "missing": [self.layout.rename(name) for name in expected if stored[name] is None],
            "unexpected": [s for name, s in self.stored_names.items() if name not in known],
            "misshapen": [
                f"{stored[name]} {self.shape(name)} instead of {shape}"
                for name, shape in expected.items()
                if stored[name] is not None and self.shape(name) != shape
            ],
        }
        if any(faults.values()):
            found = "; ".join(
                f"{len(names)} {fault}: {_abbreviate(names)}"
                for fault, names in faults.items()
                if names
            )
            raise WeightsError(
                self.path,
                f"does not hold exactly the arrays of this model (layout {self.layout.name!r}). "
                f"{found}.",
                "Build the model that the weights belong to, or fix the file.",
            )
        for name in filter(None, stored.values()):
            if self.arrays.dtypes[name] != "float32":
                raise WeightsError(
                    self.path,
                    f"array {name!r} holds {self.arrays.dtypes[name]}, not float32.",
                    "Convert it to float32 where the file was written.",
                )


def recognize(arrays):
    """Return the `MixerFile` of an open `ArrayFile`.

    Raises:
        WeightsError: If the arrays are not a Mixer in any known layout.
    """
    for layout in LAYOUTS.values():
        for tree in TREES:
            names = {n.removeprefix(tree): n for n in arrays.shapes if n.startswith(tree)}
            if layout is PRE_LINEN:
                linen_names = list(_linen_numbers(names))
                if len(set(linen_names)) < len(names):  # LayerNorm_0 and LayerNorm_00
                    continue
                names = dict(zip(linen_names, names.values(), strict=True))
            if layout.rename("stem/kernel") in names:
                # Other arrays than these are unexpected, except the state of the optimizer. Their
                # keys are in no layout, or `head/bias` would replace `params/head/bias`.
                others = (n for n in arrays.shapes if not n.startswith((tree, "opt/")))
                names |= {f"outside of {tree}: {n}": n for n in others}
                return MixerFile(arrays, layout, names, _architecture(arrays, layout, names))
    raise WeightsError(
        arrays.path,
        f"does not hold a Mixer in a known layout ({', '.join(LAYOUTS)}). "
        f"It has {len(arrays.shapes)} arrays: {_abbreviate(sorted(arrays.shapes))}.",
        "If the Mixer is a part of a larger model, save that part alone, for example with "
        "`model.layers[0].save('mixer.keras')`.",
    )


def _shape(arrays, layout, stored_names, name):
    """Return the shape of an array in canonical orientation, or None if it is missing."""
    stored = stored_names.get(layout.rename(name))
    if stored is None:
        return None
    shape = arrays.shapes[stored]
    if layout is PRE_LINEN and "_mixing/" in name:  # which had axes of length 1
        shape = tuple(size for size in shape if size != 1)
    return tuple(shape[axis] for axis in layout.axes_to_canonical(len(shape)))


def _architecture(arrays, layout, stored_names):
    """Return the sizes that a few shapes show; `MixerFile.check` checks that all arrays agree."""
    block = re.escape(layout.rename("MixerBlock_7/")).replace("7", "([0-9]{1,9})")
    blocks = [int(match[1]) for name in stored_names if (match := re.match(block, name))]
    kernels = {
        name: _shape(arrays, layout, stored_names, name)
        for name in (
            "stem/kernel",
            "MixerBlock_0/token_mixing/Dense_0/kernel",
            "MixerBlock_0/channel_mixing/Dense_0/kernel",
            "head/kernel",
        )
    }
    for name, shape in kernels.items():
        if name == "head/kernel" and shape is None:
            continue
        rank = 4 if name == "stem/kernel" else 2
        if shape is None or len(shape) != rank or min(shape) < 1:
            raise WeightsError(
                arrays.path,
                f"has layout {layout.name!r}, but {layout.rename(name)!r}, which shows "
                f"a size of the model, is {'missing' if shape is None else f'of shape {shape}'}.",
                "Use the complete weights of a Mixer.",
            )
    stem, tokens, channels, head = kernels.values()
    return Architecture(
        patch_size=stem[:2],
        channels=stem[2],
        hidden_dim=stem[3],
        num_blocks=min(max(blocks, default=0) + 1, len(stored_names)),
        num_patches=tokens[0],
        tokens_mlp_dim=tokens[1],
        channels_mlp_dim=channels[1],
        classes=head[1] if head else None,
    )


def _linen_numbers(names):
    """Return pre-linen names with the submodules numbered as linen numbers them.

    Older versions counted all submodules together (`LayerNorm_0`, `mlp_1`, `LayerNorm_2`); linen
    counts each kind separately.
    """

    def numbered(part):
        return re.fullmatch("(.+)_([0-9]{1,9})", part)

    numbers = collections.defaultdict(set)  # (module, kind of submodule) → numbers used
    for name in names:
        parts = name.split("/")
        for depth, part in enumerate(parts):
            if match := numbered(part):
                numbers[(*parts[:depth], match[1])].add(int(match[2]))

    for name in names:
        parts = name.split("/")
        new = [
            f"{match[1]}_{sorted(numbers[(*parts[:depth], match[1])]).index(int(match[2]))}"
            if (match := numbered(part))
            else part
            for depth, part in enumerate(parts)
        ]
        yield "/".join(new)


def _abbreviate(names):
    more = f" and {len(names) - MOST_LISTED} more" if len(names) > MOST_LISTED else ""
    listed = (n if len(n) <= LONGEST_NAME else f"{n[:LONGEST_NAME]}…" for n in names[:MOST_LISTED])
    return ", ".join(listed) + more or "none"
