"""`export --quantize` on the command line."""

import json

import pytest

from tests.support.command_line import flat


@pytest.mark.long
@pytest.mark.backend("torch")  # nothing in the command depends on it
class TestQuantize:
    def test_formats_of_a_run(self, call, finished, tmp_path):
        run, _ = finished
        arguments = ("export", run.path, "--num-images=2", "--calibration-images=16")
        arguments += ("--output-dir", tmp_path / "new")
        status, out, err = call(*arguments, "--to", "onnx", "keras", "--quantize", "int8", "--json")
        assert status == 0, err
        results = json.loads(out)
        assert results["measured_on"] == "the test split of digits"
        assert [(row["format"], row["model"]) for row in results["rows"]] == [
            *(("onnx", "float32"), ("onnx", "int8"), ("keras", "float32"), ("keras", "int8"))
        ]
        for before, after in zip(results["rows"][::2], results["rows"][1::2], strict=True):
            assert before["agreement"] == 1 and before["change_in_points"] == 0
            assert after["agreement"] > 0.9 and abs(after["change_in_points"]) < 5
            assert after["images_per_second"] > 0
        names = sorted(path.name for path in (tmp_path / "new").iterdir())
        assert names == ["model-int8.json", "model-int8.keras", "model-int8.onnx"]

        # What is written is a MODEL, with fewer bytes in its weights.
        status, out, err = call(
            *("evaluate", tmp_path / "new" / "model-int8.keras", "--source", "digits"),
            *("--evaluation-transform", "resize", "--output-dir", tmp_path / "results", "--json"),
        )
        assert status == 0, err
        assert json.loads(out)["accuracy"] == pytest.approx(results["rows"][3]["accuracy"], abs=0.1)

    def test_a_table(self, call, finished, tmp_path):
        run, _ = finished
        status, out, err = call(
            *("export", run.path, "--to", "onnx", "--quantize", "int8-dynamic"),
            *("--num-images=2", "--output-dir", tmp_path, "--name", "small"),
        )
        assert status == 0, err
        for words in ("same class", "float32", "int8-dynamic", "small-int8-dynamic.onnx"):
            assert words in flat(out)


@pytest.mark.backend("torch")
@pytest.mark.parametrize(
    "arguments, expected",
    [
        ("--to keras", "--to keras must come with --quantize"),
        ("--to torch --quantize int8", "--quantize must be left out with --to torch."),
        ("--to litert --quantize int4", "--quantize must be int8 or int8-dynamic with --to litert"),
        ("--to onnx --quantize int8", "--source must name a dataset for small.keras"),
        (
            "--to onnx --quantize int8 --source digits --calibration-images 3",
            "--calibration-images must be at least 16. Received: 3.",
        ),
        (
            "--to onnx --quantize int8 --images a.png",
            "--images must be left out with --quantize, which measures",
        ),
    ],
)
def test_mistakes(call, tmp_path, monkeypatch, arguments, expected):
    from tests.support.exported import gray_mixer

    monkeypatch.chdir(tmp_path)
    gray_mixer().save("small.keras")
    status, _, err = call("export", "small.keras", *arguments.split())
    assert status == 2 and expected in flat(err)
    assert not list(tmp_path.rglob("*.onnx"))
