import json

import pytest

from tests.support.compared import write_run
from tests.support.runs import SUMMARY
from tests.support.special_files import SPECIAL, make_special
from training.comparing.compared_run import RESULTS, read_run
from training.errors import UserError
from training.run.checkpoint_names import checkpoint_name

pytestmark = pytest.mark.backend("torch")  # no backend is used


def test_a_finished_run(tmp_path):
    summary = {"test_accuracy": 0.7, "train_images_per_second": 1000.0}
    run = read_run(write_run(tmp_path, (0.5, 0.8, 0.6), summary, seed=3, learning_rate=0.01))
    assert run.is_finished and run.path == tmp_path
    assert (run.seed, run.epochs, run.steps) == (3, 3, 30)
    assert list(run.results) == list(RESULTS)
    assert run.results == {
        "test_accuracy": 0.7,
        "test_loss": 1.0,
        "best_val_accuracy": 0.8,
        "best_val_loss": pytest.approx(0.2),
        "wall_seconds": 1.5,
        "train_images_per_second": 1000.0,
    }
    assert run.conditions == {
        "backend": "jax",
        "keras_mixer_version": "0.0.7",
        "keras_version": "3.15.1",
        "jax_version": "0.10.2",
        "devices": "cpu:0",
        "hosts": 1,
        "distribution": "one device",
        "parameters": 1000,
        "steps": 30,
        "classes": 3,
        "test_examples": 6,
    }


def test_options_are_the_fields_that_may_change_a_result(tmp_path):
    options = {"learning_rate": 0.01, "variant": "S/16", "image_size": 32}
    run = read_run(write_run(tmp_path, **options))
    assert run.options["learning_rate"] == 0.01
    assert (run.options["variant"], run.options["hidden_dim"]) == ("S/16", 512)
    absent = {"seed", "run_id", "backend", "data_dir", "devices", "keep_checkpoints"}
    assert not absent & run.options.keys()


def test_an_unfinished_run(tmp_path):
    run = read_run(write_run(tmp_path, (0.5, 0.4), total_epochs=60))
    assert not run.is_finished
    assert run.conditions == {"backend": "jax"}
    assert (run.epochs, run.steps, run.progress) == (2, 20, "2 of 60 epochs")
    assert (run.results["test_accuracy"], run.results["best_val_accuracy"]) == (None, 0.5)


def test_steps_are_those_of_the_newest_checkpoint(tmp_path):
    folder = write_run(tmp_path, (), total_steps=1500, accumulation_steps=4)
    assert read_run(folder).progress == "0 of 1,500 steps"
    folder.checkpoints.mkdir()
    for batches in (8, 4803):  # 1,200 updates, and 3 batches of the next
        (folder.checkpoints / checkpoint_name(batches)).touch()
    assert read_run(folder).progress == "1,200 of 1,500 steps"


def test_a_run_without_a_validation_split(tmp_path):
    folder = write_run(tmp_path, summary={})
    folder.history.write_text("epoch,step,accuracy,loss\n1,10,0.5,1\n2,20,0.75,nan\n")
    run = read_run(folder)
    assert (run.results["best_val_accuracy"], run.results["best_val_loss"]) == (None, None)


def test_a_run_of_0_1_0(tmp_path):
    """Its files have no run_id, versions, hosts or newer fields."""
    folder = write_run(tmp_path, summary={})
    config = json.loads(folder.config.read_text())
    del config["run_id"], config["data"]["train_fraction"], config["model"]["architecture"]
    folder.config.write_text(json.dumps(config))
    folder.summary.write_text(json.dumps(SUMMARY))
    run = read_run(folder)
    assert run.run_id is None and run.options["architecture"] == "mixer"
    assert not {"hosts", "keras_version"} & run.conditions.keys()


@pytest.mark.parametrize(
    "name, text, cause",
    [
        ("summary", "{", "Expecting property name"),
        ("summary", "{}", "test_accuracy must be a number"),
        ("summary", json.dumps(SUMMARY | {"test_accuracy": float("nan")}), "finite, not nan"),
        ("summary", json.dumps(SUMMARY | {"versions": ["3.15"]}), "versions must be an object"),
        ("summary", json.dumps(SUMMARY | {"hosts": "a"}), "hosts must be an integer"),
        ("history", "epoch,step,loss\n1,10,low\n", "could not convert string to float"),
        ("history", "epoch,step,loss\n1,10,0.5,0.5\n", "float"),
        ("history", "epoch,loss\n1,0.5\n", "a row without 'step'"),
        ("history", "step,loss\n1,0.5\n", "a row without 'epoch'"),
        ("history", "epoch,step\n1,20\n2,10\n", "its steps do not increase"),
        ("history", "epoch,step\n1,inf\n", "not finite"),
        ("history", b"\xff", "can't decode byte 0xff"),
        ("config", "{", "Expecting property name"),
    ],
)
def test_a_corrupt_file_is_named(tmp_path, name, text, cause):
    folder = write_run(tmp_path, summary={})
    path = getattr(folder, name)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError, match=f"^{path.name} must .* Received: {path}: ") as error:
        read_run(folder)
    assert cause in str(error.value)
    assert str(error.value).endswith(
        f" Or compare the other runs: name each of them, without {tmp_path}."
    )


@pytest.mark.parametrize("kind", SPECIAL)
def test_what_is_no_regular_file_is_refused(tmp_path, kind):
    folder = write_run(tmp_path, (), {})
    make_special(kind, folder.history)
    with pytest.raises(UserError, match=f"history.csv: .*not a regular file but {SPECIAL[kind]}"):
        read_run(folder)


def test_a_field_of_another_version_is_named(tmp_path):
    folder = write_run(tmp_path, summary={})
    config = json.loads(folder.config.read_text())
    config["data"]["colour"] = "red"
    folder.config.write_text(json.dumps(config))
    with pytest.raises(UserError, match="colour' is not known. Use the version .* Or compare"):
        read_run(folder)
