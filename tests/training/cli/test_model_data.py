"""Images for a model: their classes are matched with those of the model."""

import numpy as np
import pytest

from tests.support.models import small_mixer
from training.cli.model_data import match_classes_of_model
from training.config import Data
from training.data.source import Source
from training.data.splits import in_memory
from training.errors import UserError
from training.model_argument import LoadedModel


def source_of(names):
    split = in_memory(np.zeros((2, 8, 8, 3), np.uint8), np.array([0, 1]))
    return Source(tuple(names), 3, split, split, split)


@pytest.mark.backend("torch")
def test_classes_are_matched_by_name(capsys, monkeypatch):
    model = small_mixer(input_shape=(8, 8, 3))
    named = LoadedModel(model, tuple("edcba"))
    matched = match_classes_of_model(source_of("abcde"), named, Data(), "M")
    assert matched.class_names == named.class_names and matched.test.labels.tolist() == [4, 3]
    unnamed = source_of("abcde")
    assert match_classes_of_model(unnamed, LoadedModel(model), Data(), "M") is unnamed
    for source, loaded, expected in (
        (source_of("xy"), named, "those of M, 5: e, d, c, b, a. Received: 2: x, y."),
        (
            source_of("ab"),
            LoadedModel(model),
            "5 classes of M, whose names are not known. Received: 2: a, b.",
        ),
    ):
        with pytest.raises(UserError, match=expected):
            match_classes_of_model(source, loaded, Data(), "M")
    ids = [f"n0000000{i}" for i in range(5)]
    published = LoadedModel(model, published=True)
    monkeypatch.setattr(
        "training.model_argument.published_classes", lambda classes: (tuple(ids[::-1]), ())
    )
    matched = match_classes_of_model(source_of(ids), published, Data(), "M")
    assert matched.test.labels.tolist() == [4, 3]

    def no_network(classes):
        raise OSError("no network")

    monkeypatch.setattr("training.model_argument.published_classes", no_network)
    match_classes_of_model(source_of(ids), published, Data(), "M")
    assert "order of the classes is not checked: no network" in capsys.readouterr().err
