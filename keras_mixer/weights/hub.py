"""Files of repositories on the Hugging Face Hub, `hf://USER/REPO`, by way of huggingface_hub.

That library caches the files (`HF_HOME`), and reads the server (`HF_ENDPOINT`), the token
(`HF_TOKEN`, or that of `hf auth login`) and `HF_HUB_OFFLINE` from the environment. It is the extra
`hub`, and is imported when the first file is needed, as is what downloads here: names of
repositories are read by commands that are to start fast.
"""

import contextlib
import dataclasses
import json
import re
from pathlib import Path

from keras_mixer.files import read_bytes
from keras_mixer.weights.catalog import HUB_PREFIX
from keras_mixer.weights.numerics import Numerics

WEIGHTS_FILE = "model.safetensors"
CONFIG_FILE = "config.json"
LARGEST_WEIGHTS_BYTES = 2**32  # the largest published file has 0.9e9
LARGEST_CONFIG_BYTES = 2**24  # timm's have the names of the classes, 21,843 at most
LONGEST_CAUSE = 300  # characters of a message
INSTALL = 'pip install -e ".[hub]"'
NAME = "[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,94}[A-Za-z0-9_])?"
FORM = re.compile(f"{HUB_PREFIX}({NAME}/{NAME})(?:@([A-Za-z0-9_][A-Za-z0-9_./-]*))?")
LOG_IN = "log in with `hf auth login` or set the environment variable HF_TOKEN"


def is_on_hub(weights):
    """Return whether the argument `weights` names a repository."""
    return isinstance(weights, str) and weights.startswith(HUB_PREFIX)


@dataclasses.dataclass(frozen=True)
class Repository:
    """A repository of a model: `hf://USER/REPO` or `hf://USER/REPO@REVISION`."""

    name: str  # USER/REPO
    revision: str | None = None  # branch, tag or commit; None for the main branch

    @classmethod
    def parse(cls, text):
        """Return the repository that a text names.

        Raises:
            ValueError: If it does not have the form.
        """
        match = FORM.fullmatch(text)
        if not match or ".." in text or "--" in match[1]:
            raise ValueError(
                f"hub: a repository must be named {HUB_PREFIX}USER/REPO or "
                f"{HUB_PREFIX}USER/REPO@REVISION, in letters, digits, '-', '_' and '.'. "
                f"Received: {text!r}. An example is "
                f"{HUB_PREFIX}timm/mixer_b16_224.goog_in21k_ft_in1k."
            )
        return cls(*match.groups())

    def __str__(self):
        return HUB_PREFIX + self.name + (f"@{self.revision}" if self.revision else "")

    def pin(self):
        """Return the repository at its current commit, so that all files are of the same one.

        The weights are downloaded, with which the cache remembers the commit for later, offline.

        Raises:
            DownloadError: As `fetch` does.
            ValueError: If huggingface_hub is not installed.
        """
        commit = self.fetch(WEIGHTS_FILE).parent.name  # snapshots/COMMIT/FILE
        return dataclasses.replace(self, revision=commit)

    def fetch(self, file, most_bytes=LARGEST_WEIGHTS_BYTES):
        """Return the path of a file in the cache of huggingface_hub; download it first if needed.

        Raises:
            MissingFileError: If the repository does not have it.
            DownloadError: If it is larger than `most_bytes`, or cannot be downloaded.
            ValueError: If huggingface_hub is not installed.
        """
        from keras_mixer.weights.download import DownloadError

        with self._explaining(file) as hub:  # without downloading it
            found = hub.hf_hub_download(self.name, file, revision=self.revision, dry_run=True)
        num_bytes = found.file_size
        if num_bytes is None or num_bytes > most_bytes:
            received = "an unknown number" if num_bytes is None else f"{num_bytes:,}"
            raise DownloadError(
                f"hub: {file} of {self} must have at most {most_bytes:,} bytes. "
                f"Received: {received}. Use another repository or revision."
            )
        with self._explaining(file) as hub:
            return Path(hub.hf_hub_download(self.name, file, revision=self.revision))

    def read_config(self):
        """Return what `config.json` holds, an object; an empty one if there is no such file."""
        from keras_mixer.weights.download import DownloadError, MissingFileError

        try:
            path = self.fetch(CONFIG_FILE, LARGEST_CONFIG_BYTES)
        except MissingFileError:
            return {}
        try:
            config = json.loads(read_bytes(path, LARGEST_CONFIG_BYTES))
            if not isinstance(config, dict):
                raise ValueError("it is not an object")
        except (OSError, ValueError, RecursionError) as error:
            raise DownloadError(
                f"hub: {CONFIG_FILE} of {self} must be a JSON object. Received: {path}: {error}. "
                "Use another repository or revision."
            ) from error
        return config

    @contextlib.contextmanager
    def _explaining(self, file):
        """Yield huggingface_hub; turn its errors, and those of HTTP, into a `DownloadError`."""
        from keras_mixer.weights.download import DownloadError, MissingFileError

        hub = import_huggingface_hub()
        try:
            yield hub
        except (TypeError, AttributeError, MemoryError):
            raise  # not the user's
        except Exception as error:  # of this library, of its HTTP client and of the file system
            cause, advice = explain(error)
            missing = isinstance(error, hub.errors.EntryNotFoundError) and (
                isinstance(error, hub.errors.HfHubHTTPError) or self._is_known_to_lack(file)
            )
            raise (MissingFileError if missing else DownloadError)(
                f"hub: {file} of {self} could not be downloaded: {cause}. {advice}"
            ) from error

    def _is_known_to_lack(self, file):
        """Return whether the cache says that the repository does not have a file."""
        hub = import_huggingface_hub()
        found = hub.try_to_load_from_cache(self.name, file, revision=self.revision)
        return found is not None and not isinstance(found, str)


def import_huggingface_hub():
    """Return the module huggingface_hub.

    Raises:
        ValueError: If it is not installed.
    """
    try:
        import huggingface_hub
        import huggingface_hub.errors
    except ImportError as error:
        raise ValueError(
            f"hub: {HUB_PREFIX}USER/REPO needs the package huggingface_hub, the extra `hub`. "
            f"Received: {error}. Install it: {INSTALL}"
        ) from error
    return huggingface_hub


def explain(error):
    """Return the cause of an error of huggingface_hub in plain words, and what to do."""
    errors = import_huggingface_hub().errors
    if isinstance(error, errors.LocalEntryNotFoundError) and error.__cause__ is not None:
        cause, advice = explain(error.__cause__)
        return f"{cause}, and the file is not in the cache", advice
    if isinstance(error, RuntimeError) and error.__cause__ is not None:  # while uploading a file
        return explain(error.__cause__)
    if isinstance(error, errors.OfflineModeIsEnabled):
        return "HF_HUB_OFFLINE forbids connections", "Unset HF_HUB_OFFLINE, to download it once."
    if isinstance(error, errors.GatedRepoError):
        return "its authors ask for consent", f"Give it on the page of the repository and {LOG_IN}."
    if isinstance(error, errors.RepositoryNotFoundError):
        advice = f"Check the name; for a private one, {LOG_IN}."
        return "no such repository, or a private one", advice
    if isinstance(error, errors.RevisionNotFoundError):
        return "no such revision", "Pass a branch, tag or commit after @, or leave @REVISION out."
    if isinstance(error, errors.EntryNotFoundError):
        return "the repository has no such file", "Use another repository or revision."
    if isinstance(error, errors.HfHubHTTPError):
        status = error.response.status_code
        if status in (401, 403):
            return f"the server answered {status}", f"Your token may be invalid; {LOG_IN}."
        return f"the server answered {status}", "Try again later."
    text = " ".join(str(error).split())[:LONGEST_CAUSE] or type(error).__name__
    return text.rstrip(".:"), "Check the network, the disk and HF_ENDPOINT, and try again."


def stated_numerics(config):
    """Return the `Numerics` that timm's `config.json` states: the range of the pixels.

    timm scales pixels to [0, 1], subtracts `mean` and divides by `std`.

    Raises:
        ValueError: If that differs between the channels; other errors for other content.
    """
    pretrained = config.get("pretrained_cfg", config)
    if pretrained.get("mean") is None or pretrained.get("std") is None:
        return Numerics()
    pairs = set(zip(pretrained["mean"], pretrained["std"], strict=True))
    if len(pairs) != 1:
        raise ValueError(
            f"its pixels are normalized by mean {pretrained['mean']} and std {pretrained['std']}, "
            "which are not the same for all channels"
        )
    ((mean, std),) = pairs
    return Numerics(value_range=((0.0 - mean) / std, (1.0 - mean) / std))
