import json

import pytest

from training.benchmarks import patches
from training.studies import cost_growth
from training.studies.cost import cost
from training.studies.cost_figure import draw_growth
from training.studies.cost_growth import (
    IMAGE_SIZES,
    NOT_REPRODUCED,
    REPRODUCED,
    UNDECIDED,
    Growth,
    decide,
    grow,
    verdicts,
)

pytestmark = pytest.mark.backend("torch")  # nothing is computed by a backend


def planted(model, flops, memory):
    """Return a `Growth` of exact powers; its first sizes are others than its last three."""
    counts = (1, 4, 16, 64, 256)
    return Growth(model, counts, counts, counts, 0.0, flops, 0.0, memory)


@pytest.mark.parametrize("model", patches.MODELS)
def test_parameters_are_those_of_the_model_that_is_timed(model):
    built = patches.build_model(model, 32)
    assert built.count_params() == cost(patches.size_of(model, 32), 32).parameters


def test_exponents_of_planted_costs(monkeypatch):
    """FLOPs are S, and then S²; memory is S³."""

    def planted_cost(size, image_size, channels, classes):
        count = patches.patches_of(image_size)
        found = cost(size, 32)
        flops = 16 * count if count < 16 else count**2
        return type(found)(0, int(1e9) * flops, 0, int(1e6) * count**3, 0)

    monkeypatch.setattr(cost_growth, "cost", planted_cost)
    for growth in grow((16, 32, 64, 128, 256)):
        assert growth.patches == (1, 4, 16, 64, 256)
        assert growth.gigaflops == (16, 64, 16**2, 64**2, 256**2)
        assert growth.activation_megabytes == (1, 4**3, 16**3, 64**3, 256**3)
        assert growth.flops_exponent_at_the_end == pytest.approx(2)
        assert 1 < growth.flops_exponent < 2
        assert growth.activation_exponent == pytest.approx(3)
        assert growth.activation_exponent_at_the_end == pytest.approx(3)


def test_exponents_of_the_models():
    growths = {growth.model: growth for growth in grow()}
    mixer, growing, vit = (growths[model] for model in patches.MODELS)
    assert len(mixer.patches) == len(IMAGE_SIZES)
    assert mixer.flops_exponent_at_the_end == pytest.approx(1, abs=1e-3)
    assert mixer.activation_exponent_at_the_end == pytest.approx(1, abs=0.01)
    assert growing.flops_exponent_at_the_end > 1.8
    assert vit.flops_exponent_at_the_end > 1.7 and vit.activation_exponent_at_the_end > 1.8


@pytest.mark.parametrize(
    "mixer, transformer, verdict",
    [
        (1.0, 1.9, REPRODUCED),
        (1.2, 1.6, REPRODUCED),
        (1.0, 1.3, UNDECIDED),
        (1.3, 1.9, NOT_REPRODUCED),
        (1.6, 1.1, NOT_REPRODUCED),
    ],
)
def test_decision(mixer, transformer, verdict):
    assert decide(mixer, transformer) == verdict


def test_verdicts():
    growths = (
        planted(patches.MIXER, 1.0, 1.0),
        planted(patches.GROWING_MIXER, 1.9, 1.9),
        planted(patches.TRANSFORMER, 1.9, 1.4),
    )
    expected = {"FLOPs": REPRODUCED, "activation memory": UNDECIDED}
    assert verdicts(growths) == {**expected, "claim": REPRODUCED}

    def measured(mixer):
        ends = {patches.MIXER: mixer, patches.GROWING_MIXER: 1.9, patches.TRANSFORMER: 1.9}
        exponents = [
            patches.Exponents(m, 9.0, (9.0, 9.0), end, 9.0, 9.0) for m, end in ends.items()
        ]
        return patches.Patches("torch", 1, (), tuple(exponents))

    for mixer, verdict in ((1.1, REPRODUCED), (1.4, NOT_REPRODUCED)):
        whole = {**expected, "time of inference": verdict, "claim": verdict}
        assert verdicts(growths, measured(mixer)) == whole


def test_figure(tmp_path):
    draw_growth(grow((32, 64, 128)), tmp_path / "cost.svg")
    text = (tmp_path / "cost.svg").read_text()
    assert "GFLOPs per image" in text and "MB per image" in text
    json.dumps(verdicts(grow((32, 64, 128))))
