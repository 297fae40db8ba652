import json

import pytest

from keras_mixer.weights.catalog import find
from tests.support.shared import finished_run
from training.config import Model
from training.model_argument import parse
from training.sharing.origin import Origin, find_origin

pytestmark = pytest.mark.backend("torch")  # no backend is involved


def origin_of(folder, weights, **model):
    model = Model(variant="B/16", weights=weights, **model)
    run = finished_run(folder, model, save=False, image_size=224)
    return find_origin(parse(str(run.path)))


@pytest.mark.parametrize("weights", ["imagenet21k", "MixerB16:imagenet21k"])
def test_a_run_from_published_weights(tmp_path, weights):
    origin = origin_of(tmp_path / "run", weights)
    assert origin.published == find("MixerB16", "imagenet21k")
    assert (origin.start, origin.is_trained) == ("MixerB16:imagenet21k", True)
    assert origin.summary["test_accuracy"] == 0.5


def test_a_run_from_a_run_goes_back_to_its_beginning(tmp_path):
    origin_of(tmp_path / "first", "sam")
    origin = origin_of(tmp_path / "second", str(tmp_path / "first"))
    assert origin.published == find("MixerB16", "sam")
    assert origin.start == "another run, which started from MixerB16:sam"


def test_runs_that_start_from_each_other(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a/config.json").write_text("{}")
    origin_of(tmp_path / "b", str(tmp_path / "a"))
    (tmp_path / "a/config.json").unlink()
    origin = origin_of(tmp_path / "a", str(tmp_path / "b"))
    assert origin.start.endswith("a file") and origin.published is None


@pytest.mark.parametrize(
    "weights, start",
    [
        ("", "random"),
        ("/home/me/secret.npz", "a file"),
        ("MixerB16:/home/me/secret.npz", "a file"),
        ("hf://user/mixer", "user/mixer"),
        ("MixerB16:hf://user/mixer", "user/mixer"),
        ("MixerB16:no_such", "a file"),
    ],
)
def test_other_initial_weights(tmp_path, weights, start):
    origin = origin_of(tmp_path / "run", weights)
    assert (origin.published, origin.start) == (None, start)
    assert "secret" not in json.dumps(origin.settings)


def test_models_without_a_run(tmp_path):
    assert find_origin(parse("MixerB16:gsam")) == Origin(published=find("MixerB16", "gsam"))
    assert find_origin(parse("hf://user/mixer")) == Origin(start="user/mixer")
    (tmp_path / "model.keras").touch()
    assert find_origin(parse(str(tmp_path / "model.keras"))) == Origin()


def test_a_checkpoint_has_no_results(tmp_path):
    run = finished_run(tmp_path / "run", save=False)
    assert find_origin(parse(f"{run.path}@best")).summary is None
