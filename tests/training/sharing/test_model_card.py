import dataclasses

import pytest
import yaml

from keras_mixer.sizes import SIZES
from keras_mixer.weights.catalog import CATALOG, find
from keras_mixer.weights.hub import Repository
from tests.support.runs import SUMMARY
from training.config import Config, Data, Model
from training.sharing.model_card import Card
from training.sharing.origin import Origin
from training.sharing.shared_config import SharedConfig, SharedSize

pytestmark = pytest.mark.backend("torch")  # no backend is involved

B16 = SharedConfig(
    version=1,
    constructor="MixerB16",
    size=SharedSize(**SIZES["B/16"].dimensions | {"patch_size": (16, 16)}),
    input_shape=(224, 224, 3),
    classes=3,
    approximate_gelu=True,
    value_range=(-1.0, 1.0),
    transform="resmall-crop",
    activation="softmax",
)
RUN = Origin(None, True, "random", Config(data=Data(source="cifar10")), SUMMARY)
HUB = Repository("user/mixer")


def card(config=B16, origin=RUN, repository=HUB, license=""):
    names = tuple(f"class {i}" for i in range(config.classes))
    return Card("mixer", repository, config, names, origin, license, {"keras": "3"}).text()


def metadata(text):
    return yaml.safe_load(text.split("---\n")[1])


class TestUse:
    def test_a_repository(self):
        text = card()
        assert 'keras_mixer.MixerB16(weights="hf://user/mixer")' in text
        assert 'hf_hub_download("user/mixer", "class_names.json")' in text
        assert "predict hf://user/mixer photo.jpg" in text
        assert 'timm.create_model("hf-hub:user/mixer", pretrained=True)' in text
        assert "tanh" in text and "0.0005" in text

    def test_a_revision(self):
        text = card(repository=Repository("user/mixer", "v2"))
        assert 'weights="hf://user/mixer@v2"' in text
        assert '"class_names.json", revision="v2")' in text

    def test_a_folder_with_the_exact_gelu_and_sigmoid(self):
        config = dataclasses.replace(B16, approximate_gelu=False, activation="sigmoid")
        text = card(config, repository=None)
        arguments = '    weights="model.safetensors",\n    classifier_activation="sigmoid",\n'
        assert f"model = keras_mixer.MixerB16(\n{arguments})" in text
        assert 'timm.create_model("local-dir:.", pretrained=True)`.' in text
        assert "0.0005" not in text

    def test_many_classes_are_abbreviated(self):
        text = card(dataclasses.replace(B16, classes=1000))
        assert "`class 19` and 980 more; see `class_names.json`" in text
        assert "`class 20`" not in text


class TestLicense:
    @pytest.mark.parametrize("row", CATALOG, ids=lambda row: f"{row.variant}-{row.name}")
    def test_published_weights_keep_theirs(self, row):
        text = card(origin=Origin(published=row))
        assert metadata(text)["license"] == "apache-2.0"
        assert f"They are the published weights `{row.name}`" in text and row.licence in text
        assert row.warning in text and row.url in text
        for top1, who in row.top1:
            assert f"| ImageNet top-1, reported by {who} | {top1} % |" in text
        assert "model-index" not in metadata(text)

    def test_what_was_trained_from_them_is_its_authors(self):
        row = find("MixerB16", "miil_in21k")
        text = card(origin=dataclasses.replace(RUN, published=row, start="MixerB16:miil_in21k"))
        assert metadata(text)["license"] == "unknown"
        assert "so none is granted" in text
        assert "They were fine-tuned from the published weights `miil_in21k` of `MixerB16`" in text
        assert "the authors' code says MIT" in text
        assert "Initial weights: MixerB16:miil_in21k." in text

    def test_the_users_choice_comes_first(self):
        text = card(license="cc-by-4.0")
        assert metadata(text)["license"] == "cc-by-4.0"
        assert "The weights: cc-by-4.0." in text


class TestResults:
    def test_a_public_dataset(self):
        text = card()
        assert metadata(text)["datasets"] == ["cifar10"]
        assert metadata(text)["metrics"] == ["accuracy"]
        assert "The dataset is not public" not in text

    def test_a_dataset_of_tensorflow_datasets(self):
        config = Config(data=Data(source="tfds:my_set/v2:1.0.0"))
        data = metadata(card(origin=dataclasses.replace(RUN, config=config)))
        assert data["datasets"] == ["my_set/v2-1.0.0"]
        assert data["model-index"][0]["results"][0]["dataset"]["name"] == "tfds:my_set/v2:1.0.0"

    def test_a_checkpoint_was_not_evaluated(self):
        text = card(origin=dataclasses.replace(RUN, summary=None))
        assert "model-index" not in metadata(text)
        assert "Not recorded. Measure it" in text

    def test_figures_that_are_no_numbers_are_left_out(self):
        summary = SUMMARY | {"test_top5_accuracy": "high", "test_accuracy": float("nan")}
        text = card(origin=dataclasses.replace(RUN, summary=summary))
        assert "model-index" not in metadata(text) and "high" not in text

    def test_skipped_images_are_stated(self):
        summary = SUMMARY | {"skipped_images": 7}
        text = card(origin=dataclasses.replace(RUN, summary=summary))
        assert "7 images of the dataset could not be read." in text


def test_options_that_differ_are_listed_without_paths():
    data = Data(source="arrays:/home/me/set.npz", data_dir="/home/me", flip=True)
    config = Config(seed=3, data=data, model=Model(weights="/home/me/w.npz", hidden_dim=8))
    settings = dataclasses.replace(RUN, config=config, start="a file").settings
    assert settings == {
        "--seed": "3",
        "--source": "arrays:set.npz",
        "--flip": "True",
        "--weights": "a file",
        "--hidden-dim": "8",
    }
