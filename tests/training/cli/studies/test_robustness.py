"""Options of the study of robustness."""

import dataclasses
import json

import pytest

from tests.support.command_line import flat
from tests.support.models import randomize, small_mixer
from training.cli.studies import robustness
from training.cli.studies.robustness import Robustness
from training.data.corruptions import CORRUPTIONS
from training.errors import UserError

PRETRAINED = "MixerB16:imagenet1k"


@pytest.fixture(scope="module")
def digits_model(tmp_path_factory):
    """Path of a model of digits with random weights."""
    path = tmp_path_factory.mktemp("models") / "digits.keras"
    model = small_mixer(input_shape=(8, 8, 1), classes=10)
    randomize(model)
    model.save(path)
    return str(path)


def study(*models, **changes):
    return Robustness(models=models, **{"source": "digits", **changes})


@pytest.mark.backend("torch")
@pytest.mark.parametrize(
    "options, expected",
    [
        (study(), "MODEL... must be one or more different models. Received: none"),
        (study(PRETRAINED, PRETRAINED), "must be one or more different models"),
        (study("no_such_folder"), "MODEL must be a folder of a run"),
        (study(PRETRAINED, corruptions=()), "--corruptions must be all, none or .*nothing"),
        (study(PRETRAINED, corruptions=("frog",)), "of gaussian_noise, .*Received: frog. Pass fog"),
        (study(PRETRAINED, corruptions=("all", "fog")), "--corruptions must be"),
        (study(PRETRAINED, corruptions=("fog", "fog")), "--corruptions must be"),
        (study(PRETRAINED, severities=()), "--severities must be .*Received: none"),
        (study(PRETRAINED, severities=(0,)), "--severities must be .*Received: 0"),
        (study(PRETRAINED, severities=(1, 1)), "--severities must be .*different"),
        (study(PRETRAINED, seed=-1), "--seed must be at least 0"),
        (study(PRETRAINED, batch_size=-1), "--batch-size must be at least 0"),
        (study(PRETRAINED, devices=-1), "--devices must be"),
        (study(PRETRAINED, source=""), "--source must name a dataset for MixerB16:imagenet1k"),
    ],
)
def test_mistakes_are_refused(options, expected, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=expected):
        options.check()
    assert not list(tmp_path.iterdir())


@pytest.mark.backend("torch")
def test_a_folder_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="--output-dir must be a folder that can be written"):
        study(PRETRAINED, output_dir=tmp_path / "file").check()


@pytest.mark.backend("torch")
def test_runs_must_have_the_same_test_images(tmp_path, monkeypatch):
    data = robustness.choose_data
    sources = iter(("digits", "folder:cats"))

    def choose_data(*arguments, **options):
        return dataclasses.replace(data(*arguments, **options), source=next(sources))

    monkeypatch.setattr(robustness, "choose_data", choose_data)
    options = study(PRETRAINED, "MixerB16:sam", output_dir=tmp_path)
    with pytest.raises(UserError, match="on digits and MixerB16:sam on folder:cats. Pass --source"):
        options.check()


@pytest.mark.backend("torch")
def test_the_help_names_every_corruption():
    import inspect

    text = flat(inspect.getsource(Robustness))
    assert all(name in text for name in CORRUPTIONS)


def test_a_study_of_digits(digits_model, tmp_path, capsys):
    options = study(
        digits_model,
        corruptions=("contrast", "gaussian_noise"),
        severities=(4, 1),
        output_dir=tmp_path / "new" / "study",
    )
    options.check()
    options.run()
    out = flat(capsys.readouterr().out)
    for words in ("Evaluating on", "gaussian noise", "relative drop", "figure"):
        assert words in out
    names = sorted(path.name for path in options.output_dir.iterdir())
    assert names == ["finished", "results.csv", "results.json", "robustness.png"]
    results = json.loads((options.output_dir / "results.json").read_text())
    assert [(r["corruption"], r["severity"]) for r in results["results"]] == [
        *(("none", 0), ("contrast", 1), ("contrast", 4)),
        *(("gaussian_noise", 1), ("gaussian_noise", 4)),
    ]
    assert results["results"][0]["examples"] == 360
    dataclasses.replace(options, as_json=True).run()
    assert json.loads(capsys.readouterr().out) == results


@pytest.mark.backend("torch")
def test_clean_images_alone_and_all_corruptions_of_gray_images(digits_model, tmp_path, capsys):
    study(digits_model, corruptions=("none",), output_dir=tmp_path).run()
    assert "relative drop" not in capsys.readouterr().out
    assert sorted(p.name for p in tmp_path.iterdir()) == ["finished", "results.csv", "results.json"]
    study(digits_model, severities=(5,), output_dir=tmp_path, as_json=True).run()
    results = json.loads(capsys.readouterr().out)["results"]
    assert {r["corruption"] for r in results} == {"none", *CORRUPTIONS} - {"desaturation"}
    with pytest.raises(UserError, match="must not have desaturation for gray images"):
        study(digits_model, corruptions=("desaturation",), output_dir=tmp_path).run()
