import csv
import dataclasses
import json

import pytest

from training.benchmarks import patches
from training.cli.studies import cost
from training.cli.studies.cost import Cost
from training.errors import UserError
from training.studies.cost import MODELS

pytestmark = pytest.mark.backend("torch")  # few of its lines depend on the backend

FILES = ("cost.csv", "cost.png", "results.json")


@pytest.fixture
def options(tmp_path):
    return Cost(models=("S/16", "resnet-tiny"), image_sizes=(32, 64), output_dir=tmp_path / "cost")


def run(options, **changes):
    options = dataclasses.replace(options, **changes)
    options.check()
    options.run()
    return json.loads((options.output_dir / "results.json").read_text())


def test_counts(options, capsys):
    results = run(options, measured=False)
    printed = capsys.readouterr().out
    assert "GFLOPs" in printed and "resnet-tiny" in printed and results["rule"] in printed
    assert sorted(path.name for path in options.output_dir.iterdir()) == sorted(FILES)
    assert [(row["model"], row["image_size"]) for row in results["costs"]] == [
        ("S/16", 32),
        ("S/16", 64),
        ("resnet-tiny", 32),
        ("resnet-tiny", 64),
    ]
    with (options.output_dir / "cost.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows == [{k: str(v) for k, v in row.items()} for row in results["costs"]]
    assert results["measured"] is None
    assert results["verdicts"] == {
        "FLOPs": "reproduced",
        "activation memory": "reproduced",
        "claim": "reproduced",
    }
    assert max(len(line) for line in printed.split("exponents in")[0].splitlines()) <= 80


def test_json(options, capsys):
    results = run(options, measured=False, as_json=True)
    assert json.loads(capsys.readouterr().out) == results


def test_times(options, monkeypatch, capsys):
    tiny = {"HIDDEN_DIM": 8, "MLP_DIM": 16, "BLOCKS": 1, "TOKENS_PER_BATCH": 16}
    vit = dataclasses.replace(patches.VIT, hidden_dim=8, num_blocks=1, mlp_dim=16, num_heads=2)
    for name, value in {**tiny, "VIT": vit}.items():
        monkeypatch.setattr(patches, name, value)
    monkeypatch.setattr(cost, "MEASURED_IMAGE_SIZES", (32, 48, 64))
    results = run(options, repeats=2)
    assert "exponents" in capsys.readouterr().out
    assert {point["patches"] for point in results["measured"]["points"]} == {4, 9, 16}
    assert results["measured"]["repeats"] == 2 and "time of inference" in results["verdicts"]
    assert (options.output_dir / "patches.png").stat().st_size > 0


def test_every_model_is_counted_by_default(tmp_path):
    defaults = Cost(output_dir=tmp_path)
    defaults.check()
    assert defaults.models == tuple(MODELS) and len(defaults.models) == 15


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"models": ()}, "--models must be one or more names"),
        ({"image_sizes": ()}, "--image-sizes must be one or more numbers above 0"),
        ({"image_sizes": (32, 0)}, "--image-sizes must be one or more numbers above 0"),
        ({"image_sizes": (40,)}, r"multiples of 16, the patch size of S/16\. Received: 40"),
        ({"repeats": 0}, "--repeats must be above 0"),
    ],
)
def test_mistakes(options, changes, message):
    with pytest.raises(UserError, match=message):
        dataclasses.replace(options, **changes).check()
    assert not options.output_dir.exists()


def test_a_folder_that_is_a_file(options):
    options.output_dir.write_text("")
    with pytest.raises(UserError, match="--output-dir"):
        options.check()
