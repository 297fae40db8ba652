import dataclasses
import json

import numpy as np
import pytest

from tests.support.runs import SUMMARY
from training.config import Config, Data, Optimization
from training.errors import UserError
from training.run.checkpoint_file import Checkpoint, write_checkpoint_file
from training.run.folder import SUMMARY_TYPES, RunFolder
from training.run.progress import Progress

pytestmark = pytest.mark.backend("torch")  # no backend is used

CONFIG = Config(seed=3)


@pytest.fixture
def folder(tmp_path):
    return RunFolder(tmp_path / "run")


def test_the_configuration_is_read_as_it_was_written(folder):
    folder.write_config(CONFIG, "jax")
    assert folder.read_config() == CONFIG.resolved()
    folder.refuse_other_run(CONFIG, "jax")


def test_new_and_empty_folders_can_be_used(folder):
    folder.refuse_other_run(CONFIG, "jax")
    folder.path.mkdir()
    folder.refuse_other_run(CONFIG, "jax")


def test_another_configuration_is_rejected_with_the_differences(folder):
    folder.write_config(CONFIG, "jax")
    other = dataclasses.replace(CONFIG, data=Data(batch_size=5))
    with pytest.raises(UserError, match="data.batch_size is 64 there and 5 here") as error:
        folder.refuse_other_run(other, "jax")
    assert "seed" not in str(error.value) and "delete" not in str(error.value)
    with pytest.raises(UserError, match="backend is 'jax' there and 'torch' here"):
        folder.refuse_other_run(CONFIG, "torch")


def test_folders_of_other_files_are_rejected(folder):
    folder.path.mkdir()
    (folder.path / "thesis.txt").write_text("precious")
    with pytest.raises(UserError, match="has files but no config.json"):
        folder.refuse_other_run(CONFIG, "jax")
    with pytest.raises(UserError, match=r"must be a folder.*thesis\.txt, a file"):
        RunFolder(folder.path / "thesis.txt").refuse_other_run(CONFIG, "jax")


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '{"backend": "jax"}', '{"data": 1}'])
def test_a_corrupt_configuration_is_rejected(folder, text):
    folder.write_config(CONFIG, "jax")
    folder.config.write_text(text)
    with pytest.raises(UserError, match=r"config\.json must"):
        folder.read_config()


WRONG = [
    pytest.param("config", "[" * 100_000, "nested too deeply", id="config-deep"),
    ("config", '{"seed": 1, "seed": 2}', "it has 'seed' twice"),
    ("config", b"\xff{}", "can't decode byte 0xff"),
    ("config", {"seed": 10**30}, "seed must be a number below"),
    ("config", {"seed": -1}, "--seed must be at least 0"),
    ("config", {"seed": True}, "seed must be an integer, not True"),
    ("config", {"run_id": 3}, "run_id must be a string"),
    ("config", {"model": {"variant": []}}, "model.patch_size is missing"),
    ("config", {"data": {"batch_size": "64"}}, "data.batch_size must be an integer, not '64'"),
    ("config", {"data": {"batch_size": -64}}, "--batch-size must be above 0"),
    ("config", {"data": {"test_fraction": float("nan")}}, "--test-fraction must be at least 0"),
    ("config", {"data": {"cache": "ram"}}, "data.cache must be one of 'none', 'memory', 'disk'"),
    pytest.param("summary", "[" * 100_000, "nested too deeply", id="summary-deep"),
    ("summary", {"class_names": "cat"}, "class_names must be a list, not 'cat'"),
    ("summary", {"class_names": [1]}, r"class_names\[0\] must be a string, not 1"),
    ("summary", {"test_accuracy": None}, "test_accuracy must be a number, not None"),
    ("summary", {"devices": {}}, "devices must be a list, not {}"),
    ("class_names", "{}", "it must be a list"),
    ("class_names", "[null]", r"it\[0\] must be a string, not None"),
]


@pytest.mark.parametrize("name, content, cause", WRONG)
def test_what_is_wrong_in_a_file_is_named(folder, name, content, cause):
    folder.write_config(CONFIG, "jax")
    folder.write_summary(SUMMARY)
    folder.write_class_names(SUMMARY["class_names"])
    path = getattr(folder, name)
    if isinstance(content, dict):
        entries = json.loads(path.read_text())
        for key, value in content.items():
            is_part = isinstance(value, dict) and key != "model" and isinstance(entries[key], dict)
            entries[key] = entries[key] | value if is_part else value
        content = json.dumps(entries)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    read = {
        "config": folder.read_config,
        "summary": folder.read_summary,
        "class_names": folder.read_class_names,
    }
    with pytest.raises(UserError, match=f"^{path.name} must .*Received: .*{cause}"):
        read[name]()
    assert folder.is_finished() == (name != "summary")


def test_a_configuration_of_another_version_is_rejected(folder):
    folder.write_config(CONFIG, "jax")
    entries = json.loads(folder.config.read_text())
    entries["data"]["colour"] = "red"
    folder.config.write_text(json.dumps(entries))
    with pytest.raises(UserError, match="must have the fields of this version.*colour"):
        folder.read_config()


def test_a_folder_that_cannot_be_written_is_rejected(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="--run-dir must be writable"):
        RunFolder(tmp_path / "file" / "run").write_config(CONFIG, "jax")


def test_a_folder_whose_first_start_failed_can_be_used(tmp_path):
    for name in (".lock", "config.draft"):
        (tmp_path / name).touch()
    RunFolder(tmp_path).refuse_other_run(Config(), "jax")


def test_a_full_disk_is_reported_with_the_folder(tmp_path):
    with pytest.raises(UserError, match="must have room for the results.*resumes from the last"):
        with RunFolder(tmp_path).writing():
            raise OSError(28, "No space left on device")


def with_checkpoints(folder, *batches, accumulation_steps=1):
    optimization = Optimization(accumulation_steps=accumulation_steps)
    identity = folder.write_config(Config(optimization=optimization), "jax").identity
    folder.checkpoints.mkdir()
    for number in batches:
        write_checkpoint(folder.checkpoints / f"batch-{number:09}.npz", number, identity)
    (folder.checkpoints / "batch-000000099 (copy).npz").touch()  # is not one of them


def write_checkpoint(path, batches, identity):
    arrays = {"trainable/0": np.ones(3, "float32")}
    with path.open("wb") as file:
        write_checkpoint_file(file, Checkpoint(arrays, Progress(batches=batches), identity), {})


def test_checkpoints_are_found_by_name(folder):
    with_checkpoints(folder, 8, 12)
    write_checkpoint(folder.checkpoints / "best.npz", 8, folder.read_identity())
    assert folder.find_checkpoint().name == "batch-000000012.npz"
    assert folder.find_checkpoint("step-8").name == "batch-000000008.npz"
    assert folder.find_checkpoint("best").name == "best.npz"
    for name in ("step-9", "step-08", "last"):
        with pytest.raises(UserError, match=f"Received: .*@{name}. Pass .*@step-8 or .*@best"):
            folder.find_checkpoint(name)


def test_steps_of_checkpoints_are_updates(folder):
    """13 batches are 3 updates of 4, and one batch of the next."""
    with_checkpoints(folder, 8, 13, accumulation_steps=4)
    assert folder.find_checkpoint("step-2").name == "batch-000000008.npz"
    assert folder.find_checkpoint("step-3").name == "batch-000000013.npz"
    with pytest.raises(UserError, match="Pass .*run@step-2 or .*run@step-3"):
        folder.find_checkpoint("step-13")


def test_a_checkpoint_that_is_not_of_the_run_is_not_used(folder, tmp_path):
    with_checkpoints(folder, 8, 12)
    other = RunFolder(tmp_path / "other")
    with_checkpoints(other, 8, 12)
    newest, best = folder.checkpoints / "batch-000000012.npz", folder.checkpoints / "best.npz"
    best.write_bytes((other.checkpoints / newest.name).read_bytes())
    expected = "MODEL must name a valid checkpoint of the run.*best.npz, which is of another run"
    with pytest.raises(UserError, match=f"{expected}. Pass .*@step-8 or .*@step-12"):
        folder.find_checkpoint("best")
    newest.write_bytes((folder.checkpoints / "batch-000000008.npz").read_bytes())
    with pytest.raises(UserError, match="000000012.npz, which is corrupt: .* batch 8. Pass .*@ste"):
        folder.find_checkpoint()


def test_a_run_keeps_its_id(folder, tmp_path):
    """When it resumes with other free fields, and in a copy of the folder."""
    identity = folder.write_config(CONFIG, "jax").identity
    other = dataclasses.replace(CONFIG, data=Data(data_dir="elsewhere"))
    assert folder.write_config(other, "jax").identity.run_id == identity.run_id
    folder.path.rename(tmp_path / "moved")
    moved = RunFolder(tmp_path / "moved")
    assert moved.read_identity() == dataclasses.replace(identity, config=other.resolved())
    assert (
        RunFolder(tmp_path / "new").write_config(CONFIG, "jax").identity.run_id != identity.run_id
    )


def test_a_run_of_version_0_1_0_has_no_id(folder):
    entries = folder.write_config(CONFIG, "jax").identity.entries()
    del entries["run_id"]
    folder.config.write_text(json.dumps(entries))
    folder.refuse_other_run(CONFIG, "jax")
    assert folder.write_config(CONFIG, "jax").identity.run_id is None
    assert json.loads(folder.config.read_text()) == entries


def test_a_run_without_checkpoints_is_refused(folder):
    folder.write_config(CONFIG, "jax")
    for name in ("", "best", "step-3"):
        with pytest.raises(UserError, match="MODEL must be a run with a checkpoint"):
            folder.find_checkpoint(name)


def test_class_names_are_there_before_the_summary(folder):
    folder.write_config(CONFIG, "jax")
    with pytest.raises(UserError, match="must have a file class_names.json.*did not finish"):
        folder.read_class_names()
    assert SUMMARY.keys() == SUMMARY_TYPES.keys()  # all that version 0.1.0 wrote
    folder.write_summary(SUMMARY)
    assert folder.read_class_names() == SUMMARY["class_names"]
    folder.write_class_names(("cat", "caf\udce9"))
    assert folder.read_class_names() == ["cat", "caf\udce9"]
