"""The test command: which tests it selects, and how it adds up the reports of the backends."""

import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from run import BACKENDS
from tests import __main__ as runner

pytestmark = pytest.mark.backend("torch")  # no backend is involved

ROOT = Path(__file__).resolve().parent.parent
REPORT = """<?xml version="1.0" encoding="utf-8"?>
<testsuites><testsuite name="pytest" errors="1" failures="2" skipped="3" tests="10">
<testcase classname="tests.test_a" name="test_b" />
<testcase classname="tests.test_a" name="test_c"><failure message="assert 1 == 2&#10;where">long
</failure></testcase>
<testcase classname="" name="tests.test_d"><error message="collection failure" /></testcase>
</testsuite></testsuites>"""


@pytest.mark.parametrize(
    "arguments, backend, for_pytest",
    [
        ("", None, ["-m", "not slow"]),
        ("--quick", "torch", ["-m", "not slow and not long"]),
        ("--quick --backend jax", "jax", ["-m", "not slow and not long"]),
        ("-x tests/a -k b", None, ["-x", "tests/a", "-k", "b", "-m", "not slow"]),
        ("-m slow", None, ["-m", "slow"]),
        ("-m slow --quick", "torch", ["-m", "(slow) and not slow and not long"]),
        ("tests/a --quick -q", "torch", ["tests/a", "-q", "-m", "not slow and not long"]),
    ],
)
def test_arguments_reach_pytest(arguments, backend, for_pytest):
    options, remaining = runner.parse(arguments.split())
    assert options.backend == backend and remaining == for_pytest
    assert not options.backend or options.backend in BACKENDS


def test_outcomes_of_all_backends_are_written_to_one_report(tmp_path):
    (tmp_path / "own.xml").write_text(REPORT)
    suites = {backend: runner.read_suites(tmp_path / "own.xml") for backend in ("jax", "torch")}
    suites["tensorflow"] = runner.read_suites(tmp_path / "none.xml")  # pytest did not start
    runner.write_report(tmp_path / "new" / "all.xml", suites)
    root = ElementTree.parse(tmp_path / "new" / "all.xml").getroot()
    assert [suite.get("name") for suite in root] == ["jax", "torch"]
    assert [case.get("name") for case in root.iter("testcase")] == 2 * [
        "test_b",
        "test_c",
        "tests.test_d",
    ]
    assert runner.failed_tests(suites["jax"]) == [
        "tests.test_a::test_c: assert 1 == 2",
        "::tests.test_d: collection failure",
    ]
    once = {"passed": 4, "failed": 3, "skipped": 3}
    assert runner.count_outcomes(suites["jax"]) == once
    assert runner.count_outcomes(list(root)) == {name: 2 * n for name, n in once.items()}
    assert not runner.count_outcomes(suites["tensorflow"])


@pytest.mark.long
@pytest.mark.parametrize(
    "selected, status, totals",
    [
        (["tests/test_runner.py", "-k", "test_arguments"], 0, "7 passed, 0 failed, 0 skipped"),
        (["tests/test_runner.py", "-k", "no_such_test"], 1, "0 passed, 0 failed, 0 skipped"),
    ],
)
def test_totals_are_the_last_line(tmp_path, selected, status, totals):
    report = tmp_path / "report.xml"
    command = [sys.executable, "-m", "tests", "--quick", f"--junitxml={report}", *selected]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == status, result.stdout + result.stderr
    assert result.stdout.splitlines()[-1] == totals
    (suite,) = ElementTree.parse(report).getroot()
    assert suite.get("name") == "torch" and int(suite.get("tests")) == int(totals.split()[0])
