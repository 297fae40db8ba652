"""Numbers of tables 2 and 3 of the paper."""

import collections

import pytest

from training.studies.paper_tables import TABLE_2, TABLE_3

pytestmark = pytest.mark.backend("torch")  # no backend is used

ROWS = (*TABLE_2, *TABLE_3)


def test_number_of_rows():
    assert (len(TABLE_2), len(TABLE_3)) == (10, 26)
    assert {row.table for row in TABLE_2} == {2} and {row.table for row in TABLE_3} == {3}
    pretrainings = collections.Counter(row.pretraining for row in TABLE_3)
    assert pretrainings == {"ImageNet": 4, "ImageNet-21k": 5, "JFT-300M": 17}
    families = collections.Counter(row.family for row in TABLE_3)
    assert families == {"Mixer": 14, "ViT": 7, "BiT": 5}
    assert len({(r.table, r.pretraining, r.model, r.resolution, r.epochs) for r in ROWS}) == 36


@pytest.mark.parametrize(
    "table, pretraining, model, resolution, epochs, accuracy",
    [
        (3, "ImageNet", "Mixer-B/16", 224, 300, 76.44),
        (3, "ImageNet-21k", "Mixer-B/16", 224, 300, 80.64),
        (3, "JFT-300M", "Mixer-L/16", 224, 7, 84.05),
        (3, "JFT-300M", "Mixer-L/16", 224, 14, 84.82),
        (3, "JFT-300M", "ViT-H/14", 224, 14, 86.65),
        (2, "JFT-300M", "Mixer-H/14", 448, None, 87.94),
        (2, "ImageNet-21k", "Mixer-L/16", 448, None, 84.15),
    ],
)
def test_accuracy_on_imagenet(table, pretraining, model, resolution, epochs, accuracy):
    (row,) = (
        r
        for r in ROWS
        if (r.table, r.pretraining, r.model) == (table, pretraining, model)
        and (r.resolution, r.epochs) == (resolution, epochs)
    )
    assert row.imagenet == accuracy


def test_throughput_depends_on_model_and_resolution_alone():
    by_model = collections.defaultdict(set)
    for row in TABLE_3:
        by_model[row.model, row.resolution].add(row.throughput)
    assert all(len(found) == 1 for found in by_model.values())
    for (model, resolution), found in by_model.items():
        if resolution == 448:
            assert min(by_model[model, 224]) == pytest.approx(4 * min(found), rel=0.01)


def test_a_longer_pretraining_costs_more():
    core_days = {r.epochs: r.core_days for r in TABLE_3 if r.model == "Mixer-L/16"}
    assert core_days[14] == pytest.approx(2 * core_days[7], rel=0.05)


def test_the_paper_s_claim_about_throughput():
    """Table 2: Mixer-H/14 is less accurate than ViT-H/14 and 2.5 times as fast."""
    mixer, vit = (
        next(r for r in TABLE_2 if r.model == model) for model in ("Mixer-H/14", "ViT-H/14")
    )
    assert mixer.imagenet < vit.imagenet
    assert mixer.throughput / vit.throughput > 2.5
    assert mixer.core_days < vit.core_days
