"""Strict loading of weights into a model: every array is used and every variable is set."""

import contextlib
import dataclasses
import math

from keras_mixer.weights import resolution as resolutions
from keras_mixer.weights.architecture import Architecture
from keras_mixer.weights.catalog import IMAGE_SIZE, PretrainedWeights
from keras_mixer.weights.download import fetch
from keras_mixer.weights.formats import WeightsError, open_arrays
from keras_mixer.weights.hub import WEIGHTS_FILE, Repository, is_on_hub, stated_numerics
from keras_mixer.weights.layouts import MixerFile, recognize
from keras_mixer.weights.numerics import Numerics

DEFAULT_NUMERICS = Numerics(approximate_gelu=True, value_range=(-1.0, 1.0))
FLAX_NAMES = {"gamma": "scale", "beta": "bias"}  # Keras's names in LayerNormalization
HEADER_BYTES = 2**20  # room for the names of the arrays in a published file
TOKEN_MIXING = "/token_mixing/"


@contextlib.contextmanager
def open_weights(weights):
    """Open a path, or what is downloaded first, and yield `OpenedWeights`.

    Rows of the catalog and repositories (`hf://USER/REPO`, or a `Repository`) are downloaded.
    `OpenedWeights` are yielded as they are.

    Raises:
        WeightsError: If the file is not a valid Mixer.
        DownloadError: If it cannot be downloaded.
    """
    if isinstance(weights, OpenedWeights):
        yield weights
        return
    published = isinstance(weights, PretrainedWeights)
    path, config = weights, {}
    if is_on_hub(weights):
        weights = Repository.parse(weights).pin()
    if isinstance(weights, Repository):
        config, path = weights.read_config(), weights.fetch(WEIGHTS_FILE)
    if published:
        shapes = _published_shapes(weights)
        path = fetch(
            weights.url,
            weights.path,
            weights.num_bytes,
            weights.digest,
            4 * sum(map(math.prod, shapes.values())) + HEADER_BYTES,
            lambda file: _find_flaw(file, shapes),
        )
    with open_arrays(path) as arrays:
        if isinstance(weights, Repository):
            require_safetensors(arrays)
        file = recognize(arrays)
        if published:
            stated = Numerics(weights.approximate_gelu, weights.value_range, weights.grid)
        else:
            stated = _stated_numerics(file, config)
        _check_grid(file, stated)
        of_layout = Numerics(file.layout.approximate_gelu)
        yield OpenedWeights(file, stated.or_else(of_layout).or_else(DEFAULT_NUMERICS))


def require_safetensors(arrays):
    """Raise WeightsError unless an `ArrayFile` is what the name of a shared file says."""
    if arrays.format != "safetensors":
        raise WeightsError(
            arrays.path,
            f"is not in the format safetensors but in {arrays.format}.",
            "Ask who shared it to convert it: python -m keras_mixer convert IN OUT.safetensors.",
        )


def _published_shapes(published):
    """Return `{canonical name: shape}` of a row of the catalog."""
    patch_size = published.size.patch_size
    sizes = {**published.size.dimensions, "patch_size": (patch_size, patch_size)}
    num_patches, classes = math.prod(published.grid), published.classes
    return Architecture(**sizes, channels=3, num_patches=num_patches, classes=classes).shapes()


def _find_flaw(path, shapes):
    """Return what a downloaded file lacks to have arrays of these shapes, or None."""
    try:
        with open_arrays(path) as arrays:
            recognize(arrays).check(shapes)
    except WeightsError as error:
        return error.cause.rstrip(".")
    return None


def _stated_numerics(file, config):
    """Return the numerics that a file states, or else the `config.json` beside it."""
    read = {
        "keras": Numerics.from_keras_config,
        "checkpoint": Numerics.from_checkpoint,
    }.get(file.arrays.format, Numerics.from_metadata)
    try:
        return read(file.arrays.metadata).or_else(stated_numerics(config))
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise WeightsError(
            file.path,
            f"describes its model in a form that is not known: {error!r}.",
            "Save it again with this version, or convert it to .npz.",
        ) from None


def _check_grid(file, numerics):
    if numerics.grid and math.prod(numerics.grid) != file.architecture.num_patches:
        raise WeightsError(
            file.path,
            f"states a grid of {numerics.grid} patches and holds token-mixing weights for "
            f"{file.architecture.num_patches}.",
            "Write it again with its own image size.",
        )


@dataclasses.dataclass(frozen=True)
class OpenedWeights:
    """An open weight file and the numerics that it was trained with."""

    file: MixerFile
    numerics: Numerics

    @property
    def classes(self):
        """Number of classes of the head; None without head."""
        return self.file.architecture.classes

    @property
    def grid(self):
        """The grid that the file states, or the square one with its number of patches, or None."""
        if self.numerics.grid:
            return self.numerics.grid
        side = math.isqrt(self.file.architecture.num_patches)
        return (side, side) if side**2 == self.file.architecture.num_patches else None

    def for_model(self, owner, architecture, grid, resolution):
        """Check that a model can have these weights; return their `Loader`.

        Args:
            owner: Name of the model, for messages.
            architecture: `Architecture` of the model, before it is widened for its grid.
            grid: The model's grid of patches.
            resolution: See `keras_mixer.weights.resolution`.

        Raises:
            WeightsError: If the arrays are not exactly those of such a model.
            ValueError: If the weights were trained at another size that `resolution` cannot
                adapt to this one.
        """
        trained = self.grid
        if trained is None and self.file.architecture.num_patches == math.prod(grid):
            trained = grid  # not square, and nothing says otherwise
        if trained is None:
            raise ValueError(
                f"{owner}: `input_shape` must be the size that the weights were trained at, unless "
                "the file states that size or it was square. Received: images of "
                f"{grid[0]} × {grid[1]} patches for {str(self.file.path)!r}, trained on "
                f"{self.file.architecture.num_patches} patches. Convert the file to .safetensors "
                "with its size: python -m keras_mixer convert IN OUT --image-size HEIGHT WIDTH."
            )
        resolutions.check(owner, trained, grid, resolution)
        loader = Loader(
            self.file,
            trained,
            grid,
            resolution,
            dataclasses.replace(
                architecture,
                num_patches=math.prod(trained),
                tokens_mlp_dim=self._tokens_mlp_dim(architecture),
            ),
        )
        # The head of the file must be complete even if the model has another one.
        complete = dataclasses.replace(loader.trained_architecture, classes=self.classes)
        self.file.check(complete.shapes())
        return loader

    def _tokens_mlp_dim(self, architecture):
        """Return D_S as trained: the model's, or K times that if the file was expanded by K."""
        found = self.file.architecture
        usual_patches = math.prod(IMAGE_SIZE // patch for patch in architecture.patch_size)
        parts = found.num_patches // max(usual_patches, 1)
        expanded = parts > 1 and found.tokens_mlp_dim == parts * architecture.tokens_mlp_dim
        return found.tokens_mlp_dim if expanded else architecture.tokens_mlp_dim


@dataclasses.dataclass(frozen=True)
class Loader:
    """Weights that have been checked against a model."""

    file: MixerFile
    trained: tuple[int, int]  # grid
    grid: tuple[int, int]  # of the model
    resolution: str
    trained_architecture: Architecture  # the model's, if it had the trained grid

    @property
    def architecture(self):
        """The architecture that the model must be built with to take the weights at its grid."""
        parts = resolutions.num_parts(self.trained, self.grid, self.resolution)
        return dataclasses.replace(
            self.trained_architecture,
            num_patches=math.prod(self.grid),
            tokens_mlp_dim=parts * self.trained_architecture.tokens_mlp_dim,
        )

    @property
    def used(self):
        """The part of the file that the model takes: without a head of another size."""
        same_head = self.trained_architecture.classes == self.file.architecture.classes
        return dataclasses.replace(
            self.trained_architecture,
            classes=self.trained_architecture.classes if same_head else None,
        )

    def fill(self, model):
        """Set the variables of `model`, with one array in memory at a time."""
        variables = variables_by_name(model)
        shapes = self.used.shapes()
        assert shapes.keys() <= variables.keys(), shapes.keys() - variables.keys()
        for name in shapes:
            array = self.file.read(name)
            if TOKEN_MIXING in name:
                part = name.partition(TOKEN_MIXING)[2]
                array = resolutions.adapt(part, array, self.trained, self.grid, self.resolution)
            variables[name].assign(array)


def variables_by_name(model):
    """Return `{canonical name: variable}` of the Mixer in `model`."""
    variables = {}
    for layer in model.layers:
        if layer.name.startswith(("stem", "MixerBlock_", "pre_head_layer_norm", "head")):
            for variable in layer.weights:
                *path, last = variable.path.rpartition(f"{layer.name}/")[2].split("/")
                name = "/".join([layer.name, *path, FLAX_NAMES.get(last, last)])
                variables[name] = variable
    return variables
