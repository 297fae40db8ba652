"""Upload of a shared model to the Hugging Face Hub, in one commit."""

import contextlib
import tempfile
from pathlib import Path

from keras_mixer.weights.hub import LOG_IN, explain, import_huggingface_hub
from training.errors import UserError
from training.sharing.writing import FILES, write_shared


def require_login(repository):
    """Raise UserError unless huggingface_hub is installed, online and has a token."""
    try:
        hub = import_huggingface_hub()
    except ValueError as error:
        raise UserError(str(error)) from error
    if hub.constants.is_offline_mode():
        raise UserError(
            f"--to must be a folder without a network. Received: {repository} with HF_HUB_OFFLINE. "
            "Unset it, or pass a folder."
        )
    with _explaining(repository):
        token = hub.get_token()
    if token is None:
        raise UserError(
            f"--to must be a repository that you may write to. Received: {repository}, without a "
            f"token for the Hugging Face Hub. To get in, {LOG_IN}."
        )


def share_to_hub(repository, argument, loaded, license="", private=False):
    """Write a shared model and upload it; return the URL of the commit.

    Args:
        repository: The `keras_mixer.weights.hub.Repository`; it is created unless it exists.
        argument: The parsed MODEL.
        loaded: Its `training.model_argument.LoadedModel`.
        license: See `training.sharing.model_card.Card`.
        private: Whether to create a private repository.

    Raises:
        UserError: If the Hub refuses it, or `private` is asked of a public repository.
    """
    hub = import_huggingface_hub()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_shared(folder, argument, loaded, repository, license)
        with _explaining(repository):
            api = hub.HfApi(token=hub.get_token(), library_name="keras_mixer")
            api.create_repo(repository.name, private=private or None, exist_ok=True)
            is_private = api.model_info(repository.name).private
        if private and not is_private:
            raise UserError(
                f"--private must name a private or new repository. Received: {repository}, which "
                "is public. Make it private in its settings, or pass another name."
            )
        with _explaining(repository):
            commit = api.create_commit(
                repository.name,
                [hub.CommitOperationAdd(file, folder / file) for file in FILES],
                commit_message=f"Share {loaded.model.name} with keras_mixer",
                revision=repository.revision,
            )
    return commit.commit_url


@contextlib.contextmanager
def _explaining(repository):
    """Turn any error of huggingface_hub, which has dozens, into a UserError without secrets."""
    try:
        yield
    except Exception as error:
        cause, advice = explain(error)
        raise UserError(
            "--to must be a folder, or a repository that you may write to. Received: "
            f"{repository}: {cause}. {advice}"
        ) from error
