"""MODEL that names a shared model: a repository on the Hugging Face Hub, or a folder."""

import dataclasses
from pathlib import Path

from keras_mixer.sizes import SIZES
from keras_mixer.weights.hub import WEIGHTS_FILE, Repository, is_on_hub
from training.errors import UserError
from training.sharing.shared_folder import SharedFolder, is_shared


@dataclasses.dataclass(frozen=True)
class SharedModel:
    """`hf://USER/REPO`, `CONSTRUCTOR:hf://USER/REPO`, or a folder that `share` wrote."""

    text: str
    source: Repository | SharedFolder
    constructor: str = ""  # empty for the one that the configuration of the model names
    data = None

    @property
    def weights(self):
        """What the argument `weights` of a constructor takes."""
        if isinstance(self.source, Repository):
            return str(self.source)
        return self.source.fetch(WEIGHTS_FILE)

    def output_dir(self, kind):
        """Return the default folder for results of a kind, such as "evaluation"."""
        return Path(f"{kind}s") / self.source.name.replace("/", "-")


def find_shared(text, argument="MODEL"):
    """Return the `SharedModel` that a text names; None if it names none.

    Args:
        text: What the user passed.
        argument: Name of the argument, for messages.

    Raises:
        UserError: If it names a repository in a form that is not valid.
    """
    path = Path(text)
    if path.is_dir():
        return SharedModel(text, SharedFolder(path)) if is_shared(path) else None
    constructor, _, weights = text.partition(":")
    if constructor not in {size.constructor_name for size in SIZES.values()}:
        constructor, weights = "", text
    if not is_on_hub(weights):
        return None
    return SharedModel(text, read_repository(weights, argument), constructor)


def read_repository(text, argument):
    """Return the `Repository` that a text names; raise UserError if its form is not valid."""
    try:
        return Repository.parse(text)
    except ValueError as error:
        raise UserError(f"{argument}: {error}") from error
