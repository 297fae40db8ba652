import dataclasses
import json

import pytest

from training.config import Config, Data
from training.errors import UserError
from training.run.folder import NEEDED_OF_SUMMARY, RunFolder

CONFIG = Config(seed=3)


@pytest.fixture
def folder(tmp_path):
    return RunFolder(tmp_path / "run")


def test_the_configuration_survives_the_file(folder):
    folder.write_config(CONFIG, "jax")
    assert folder.read_config() == CONFIG.resolved()
    folder.refuse_other_run(CONFIG, "jax")


def test_new_and_empty_folders_are_free(folder):
    folder.refuse_other_run(CONFIG, "jax")
    folder.path.mkdir()
    folder.refuse_other_run(CONFIG, "jax")


def test_another_configuration_is_refused_by_what_differs(folder):
    folder.write_config(CONFIG, "jax")
    other = dataclasses.replace(CONFIG, data=Data(batch_size=5))
    with pytest.raises(UserError, match="data.batch_size is 64 there and 5 here") as error:
        folder.refuse_other_run(other, "jax")
    assert "seed" not in str(error.value)
    with pytest.raises(UserError, match="backend is 'jax' there and 'torch' here"):
        folder.refuse_other_run(CONFIG, "torch")


def test_folders_of_other_things_are_refused(folder):
    folder.path.mkdir()
    (folder.path / "thesis.txt").write_text("precious")
    with pytest.raises(UserError, match="has files but no config.json"):
        folder.refuse_other_run(CONFIG, "jax")
    with pytest.raises(UserError, match=r"must be a folder.*thesis\.txt, a file"):
        RunFolder(folder.path / "thesis.txt").refuse_other_run(CONFIG, "jax")


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '{"backend": "jax"}', '{"data": 1}'])
def test_a_damaged_configuration_is_named(folder, text):
    folder.write_config(CONFIG, "jax")
    folder.config.write_text(text)
    with pytest.raises(UserError, match=r"config\.json must"):
        folder.read_config()


def test_a_configuration_of_another_version_is_named(folder):
    folder.write_config(CONFIG, "jax")
    entries = json.loads(folder.config.read_text())
    entries["data"]["colour"] = "red"
    folder.config.write_text(json.dumps(entries))
    with pytest.raises(UserError, match="must have the fields of this version.*colour"):
        folder.read_config()


def test_a_folder_without_model_is_refused(folder):
    with pytest.raises(UserError, match="finished training run.*which does not exist"):
        folder.require_model()
    folder.path.mkdir()
    for missing in ("config.json", "model.keras", "summary.json"):
        with pytest.raises(UserError, match=rf"finished training run.*has no {missing}"):
            folder.require_model()
        (folder.path / missing).touch()
    with pytest.raises(UserError, match="has no summary.json that is whole"):
        folder.require_model()
    folder.write_summary(dict.fromkeys(NEEDED_OF_SUMMARY, 0))
    folder.require_model()


def test_an_unwritable_place_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="--run-dir must be writable"):
        RunFolder(tmp_path / "file" / "run").write_config(CONFIG, "jax")


def test_a_folder_whose_first_start_failed_is_as_good_as_new(tmp_path):
    for name in (".lock", "config.draft"):
        (tmp_path / name).touch()
    RunFolder(tmp_path).refuse_other_run(Config(), "jax")


def test_a_full_disk_is_said_with_the_folder(tmp_path):
    with pytest.raises(UserError, match="must have room for the results.*goes on after the last"):
        with RunFolder(tmp_path).room_for_results():
            raise OSError(28, "No space left on device")
