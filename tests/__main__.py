"""Run pytest once per backend, each in its own process, and print the totals.

    python -m tests [--quick] [--backend NAME] [--jobs N] [--junitxml FILE] [PYTEST ARGUMENT …]

All other arguments go to pytest: paths, -k, -x, --durations.
"""

import argparse
import concurrent.futures
import os
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections import Counter
from pathlib import Path

from keras_mixer.terminal import command_line
from run import BACKENDS

QUICK_BACKEND = "torch"  # it starts fastest
NO_TESTS_COLLECTED = 5  # pytest's exit status
# Threads of PyTorch spin while they wait, and so take the cores from the other processes: with
# one thread the same tests need half of the time.
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}


def parse(arguments=None):
    """Return the options of the runner, and the arguments that go to pytest."""
    parser = argparse.ArgumentParser(
        prog="python3 run.py test",
        description="Run the tests on all three backends. Other arguments go to pytest.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help=f"for the inner loop: one backend ({QUICK_BACKEND} unless --backend is given), "
        "without the tests marked `long` or `slow`",
    )
    parser.add_argument("--backend", choices=BACKENDS, help="run one backend instead of all three")
    parser.add_argument(
        "--jobs",
        type=int,
        choices=range(1, 4),
        default=3,  # two cores are busy to the end
        help="how many backends run at the same time (default: %(default)s)",
    )
    parser.add_argument(
        "-m",
        dest="markers",
        metavar="EXPRESSION",
        help="pytest's marker expression (default: 'not slow'); --quick narrows it",
    )
    parser.add_argument(
        "--junitxml",
        "--junit-xml",
        type=lambda path: Path(os.path.expanduser(path)),
        metavar="FILE",
        help="write one JUnit report that covers all backends",
    )
    options, for_pytest = parser.parse_known_args(arguments)
    if options.quick and options.backend is None:
        options.backend = QUICK_BACKEND
    return options, [*for_pytest, "-m", marker_expression(options.markers, options.quick)]


def marker_expression(given, quick):
    """Return pytest's marker expression: the given one, narrowed by `--quick`."""
    if not quick:
        return "not slow" if given is None else given
    return "not slow and not long" if not given else f"({given}) and not slow and not long"


def run_pytest(backend, arguments, report):
    """Run the tests on one backend; return pytest's exit status."""
    command = [sys.executable, "-m", "pytest", *arguments, f"--junitxml={report}"]
    environment = {**ENVIRONMENT, **os.environ, "KERAS_BACKEND": backend}
    process = subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    for line in process.stdout:  # lines of several backends interleave
        print(f"{backend:10} | {line}", end="", flush=True)
    return process.wait()


def read_suites(report):
    """Return the test suites of a JUnit report; none if pytest ended before it wrote one."""
    return list(ElementTree.parse(report).iter("testsuite")) if report.exists() else []


def count_outcomes(suites):
    """Return how many tests of the suites passed, failed and were skipped."""
    counts = Counter()
    for suite in suites:
        total, failures, errors, skipped = (
            int(suite.get(key)) for key in ("tests", "failures", "errors", "skipped")
        )
        counts += Counter(
            passed=total - failures - errors - skipped, failed=failures + errors, skipped=skipped
        )
    return counts


def failed_tests(suites):
    """Return a line for each test that failed: its name, and the first line of the reason."""
    lines = []
    for case in (case for suite in suites for case in suite.iter("testcase")):
        for outcome in (child for child in case if child.tag in ("failure", "error")):
            reason = (outcome.get("message") or "").partition("\n")[0]
            lines.append(f"{case.get('classname')}::{case.get('name')}: {reason}")
    return lines


def write_report(path, suites_by_backend):
    """Write one JUnit report of all backends, each a suite with the backend's name."""
    root = ElementTree.Element("testsuites")
    for backend, suites in suites_by_backend.items():
        for suite in suites:
            suite.set("name", backend)
            root.append(suite)
    path.parent.mkdir(parents=True, exist_ok=True)
    ElementTree.ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)


def main():
    options, arguments = parse()
    backends = [options.backend] if options.backend else BACKENDS

    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        reports = [Path(folder) / f"{backend}.xml" for backend in backends]
        with concurrent.futures.ThreadPoolExecutor(options.jobs) as executor:
            statuses = executor.map(
                lambda backend, report: run_pytest(backend, arguments, report), backends, reports
            )
            statuses = dict(zip(backends, statuses, strict=True))
        suites = dict(zip(backends, map(read_suites, reports), strict=True))
    if options.junitxml:
        write_report(options.junitxml, suites)

    print(f"\n{', '.join(backends)}: {time.monotonic() - start:.0f} seconds")
    total = Counter()
    for backend in backends:
        counts = count_outcomes(suites[backend])
        total += counts
        print(f"  {backend}: {counts['passed']} passed, pytest's exit status {statuses[backend]}")
        for line in failed_tests(suites[backend]):
            print(f"    {line}")
    print(f"{total['passed']} passed, {total['failed']} failed, {total['skipped']} skipped")
    # Some of the selected tests may not exist on a backend, but at least one must have passed.
    succeeded = set(statuses.values()) <= {0, NO_TESTS_COLLECTED} and total["passed"] > 0
    sys.exit(0 if succeeded else 1)


if __name__ == "__main__":
    with command_line():
        main()
