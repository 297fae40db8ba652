import math
import shutil
import statistics

import pytest

from tests.support.compared import VERSIONS, write_run
from training.comparing.compared_run import read_run
from training.comparing.comparison import compare
from training.errors import UserError
from training.run.folder import RunFolder

pytestmark = pytest.mark.backend("torch")  # no backend is used


@pytest.fixture
def run(tmp_path):
    """A function that writes and reads a run with a test accuracy, or an unfinished one."""

    def write(name, accuracy=None, summary=None, **options):
        if accuracy is not None:
            summary = {"test_accuracy": accuracy, **(summary or {})}
        return read_run(write_run(tmp_path / name, summary=summary, **options))

    return write


def names_of(comparison):
    return [[run.path.name for run in group.runs] for group in comparison.groups]


def test_runs_that_differ_in_the_seed_only_are_a_group(run):
    accuracies = {7: 0.5, 0: 0.6, 3: 0.8}
    runs = [run(f"seed-{seed}", value, seed=seed) for seed, value in accuracies.items()]
    other = run("other", 0.7, seed=0, learning_rate=0.5)
    comparison = compare([*runs, other], "test_accuracy")
    assert names_of(comparison) == [["other"], ["seed-0", "seed-3", "seed-7"]]
    assert comparison.differing == ("learning_rate",)
    group = comparison.groups[1]
    assert group.seeds == [0, 3, 7]
    mean = sum(accuracies.values()) / 3
    variance = sum((value - mean) ** 2 for value in accuracies.values()) / 2
    assert group.spread("test_accuracy") == {
        "mean": pytest.approx(mean),
        "stddev": pytest.approx(math.sqrt(variance)),
        "smallest": 0.5,
        "largest": 0.8,
        "seeds": 3,
    }
    assert [comparison.label(group) for group in comparison.groups] == [
        "--learning-rate 0.5",
        "--learning-rate 0.001",
    ]


def test_fields_that_change_no_result_do_not_separate_runs(run):
    runs = [run("a", 0.5, checkpoint_minutes=1.0), run("b", 0.6, seed=1, data_dir="elsewhere")]
    comparison = compare(runs, "test_accuracy")
    assert (names_of(comparison), comparison.differing) == ([["a", "b"]], ())
    assert comparison.label(comparison.groups[0]) == "a"


@pytest.mark.parametrize(
    "name, value, summary",
    [
        ("keras_version", "3.16.0", {"versions": VERSIONS | {"keras": "3.16.0"}}),
        ("devices", "gpu:0, gpu:1", {"devices": ["gpu:0", "gpu:1"]}),
        ("hosts", 2, {"hosts": 2}),
        ("distribution", "DataParallel", {"distribution": "DataParallel"}),
        ("test_examples", 1234, {"test_examples": 1234}),
        ("parameters", 1234, {"parameters": 1234}),
    ],
)
def test_other_conditions_are_never_mixed(run, name, value, summary):
    comparison = compare([run("a", 0.5), run("b", 0.6, summary, seed=1)], "test_accuracy")
    assert comparison.differing == (name,)
    assert comparison.differences(comparison.groups[0]) == {name: value}
    outcomes = ("test_examples", "parameters")
    label = "b" if name in outcomes else f"{name.replace('_', ' ')} {value}"
    assert comparison.label(comparison.groups[0]) == label


def test_backends_are_never_mixed(run):
    comparison = compare([run("a", 0.5), run("b", 0.6, backend="torch")], "test_accuracy")
    assert "backend" in comparison.differing and len(comparison.groups) == 2


def test_unfinished_runs_are_in_no_mean_and_come_last(run):
    comparison = compare(
        [
            run("training", seed=2, accuracies=(0.99,)),
            run("started", seed=3, accuracies=()),
            run("behind", seed=4, accuracies=(0.1,)),
            run("a", 0.2),
            run("b", 0.3, seed=1),
        ],
        "test_accuracy",
    )
    assert names_of(comparison) == [["a", "b"], ["training"], ["behind"], ["started"]]
    assert comparison.differing == ()
    assert comparison.groups[0].spread("test_accuracy")["seeds"] == 2
    assert comparison.groups[1].spread("test_accuracy") is None


@pytest.mark.parametrize(
    "metric, order",
    [
        ("test_accuracy", "bac"),
        ("test_loss", "cba"),
        ("best_val_accuracy", "acb"),
        ("best_val_loss", "acb"),
        ("wall_seconds", "bca"),
        ("train_images_per_second", "cab"),  # of b it is not known
    ],
)
def test_the_best_is_first(run, metric, order):
    results = ("test_accuracy", "test_loss", "wall_seconds", "train_images_per_second")
    values = {"a": (0.5, 3.0, 30.0, 10.0), "b": (0.9, 2.0, 10.0, None), "c": (0.4, 1.0, 20.0, 90.0)}
    validation = {"a": (0.8, 0.9), "b": (0.2, 0.1), "c": (0.6, 0.5)}
    runs = [
        run(
            name,
            summary=dict(zip(results, values[name], strict=True)),
            accuracies=validation[name],
            learning_rate=0.1 + i,
        )
        for i, name in enumerate("abc")
    ]
    assert "".join(name for (name,) in names_of(compare(runs, metric))) == order


def test_a_mean_is_of_the_runs_that_have_the_result(run):
    speeds = {0: None, 1: 100.0, 2: 300.0}
    runs = [run(str(s), 0.5, {"train_images_per_second": v}, seed=s) for s, v in speeds.items()]
    (group,) = compare(runs, "test_accuracy").groups
    spread = group.spread("train_images_per_second")
    assert (spread["mean"], spread["seeds"]) == (200, 2)
    assert spread["stddev"] == pytest.approx(statistics.stdev([100, 300]))


def test_a_variant_stands_for_its_sizes(run):
    options = {"image_size": 32}
    small, large = (run(v[0], 0.5, variant=v, **options) for v in ("S/16", "B/16"))
    assert compare([small, large], "test_accuracy").differing == ("variant",)
    changed = run("changed", 0.5, variant="B/16", num_blocks=3, **options)
    assert "num_blocks" in compare([small, changed], "test_accuracy").differing
    own = run("own", 0.5, patch_size=4, **options)
    assert {"variant", "hidden_dim"} <= {*compare([small, own], "test_accuracy").differing}


def test_the_same_run_twice_is_refused(run, tmp_path):
    a = run("a", 0.5)
    with pytest.raises(UserError, match=f"must be different runs. Received: {a.path} twice. Pass"):
        compare([a, a], "test_accuracy")
    shutil.copytree(a.path, tmp_path / "copy")
    copy = read_run(RunFolder(tmp_path / "copy"))
    with pytest.raises(UserError, match=f"{a.path} and {copy.path}, which are copies of one run."):
        compare([a, copy], "test_accuracy")


def test_entries_and_rows(run, tmp_path):
    comparison = compare(
        [
            run("a", 0.5, learning_rate=0.1, flip=True),
            run("b", 0.7, seed=1, learning_rate=0.1, flip=True),
            run("c", 0.9, learning_rate=0.2),
            run("d", learning_rate=0.2),
        ],
        "test_accuracy",
    )
    entries = comparison.entries()
    assert (entries["metric"], entries["differing"]) == ("test_accuracy", ["flip", "learning_rate"])
    first, second, third = entries["groups"]
    assert first["label"] == "--flip no, --learning-rate 0.2"
    assert first["settings"] == {"flip": False, "learning_rate": 0.2}
    assert (second["seeds"], second["test_accuracy"]["mean"]) == ([0, 1], pytest.approx(0.6))
    assert (third["finished"], third["test_accuracy"]) == (False, None)
    rows = entries["runs"]
    assert [(row["run"], row["group"]) for row in rows] == [
        (str(tmp_path / name), group) for name, group in (("c", 1), ("a", 2), ("b", 2), ("d", 3))
    ]
    assert len({tuple(row) for row in rows}) == 1  # the columns of the CSV
    expected = {"seed": 1, "finished": True, "epochs": 2, "steps": 20, "learning_rate": 0.1}
    assert rows[2].items() >= (expected | {"test_accuracy": 0.7, "jax_version": "0.10.2"}).items()
    expected = {"finished": False, "steps": 20, "test_accuracy": None, "devices": None}
    assert rows[3].items() >= (expected | {"backend": "jax"}).items()
