"""Run pytest once per backend, each in a process of its own, and add up.

    python -m tests [--backend NAME] [--jobs N] [PYTEST ARGUMENT …]

--backend takes one backend instead of all three, --jobs says how many run beside each other.
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

from run import BACKENDS

NO_TESTS = 5  # pytest's status


def run_pytest(backend, arguments, report):
    """Run the tests of a backend; return pytest's exit status and the counts of its outcomes."""
    command = [sys.executable, "-m", "pytest", f"--junitxml={report}", *arguments]
    environment = {**os.environ, "KERAS_BACKEND": backend, "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    for line in process.stdout:  # of which there can be several at a time
        print(f"{backend:10} | {line}", end="", flush=True)
    return process.wait(), counts_in(report)


def counts_in(report):
    counts = Counter()
    if report.exists():
        for suite in ElementTree.parse(report).iter("testsuite"):
            total, failures, errors, skipped = (
                int(suite.get(key)) for key in ("tests", "failures", "errors", "skipped")
            )
            counts += Counter(
                passed=total - failures - errors - skipped,
                failed=failures + errors,
                skipped=skipped,
            )
    return counts


def main():
    parser = argparse.ArgumentParser(
        prog="python3 run.py test",
        description="Run all tests. What else is given goes to pytest, such as -m slow.",
        allow_abbrev=False,
    )
    parser.add_argument("--backend", choices=BACKENDS, help="instead of all three")
    parser.add_argument(
        "--jobs",
        type=int,
        choices=range(1, 4),
        default=2,
        help="backends beside each other (default: 2)",
    )
    options, arguments = parser.parse_known_args()
    backends = [options.backend] if options.backend else BACKENDS

    began = time.monotonic()
    with (
        tempfile.TemporaryDirectory() as folder,
        concurrent.futures.ThreadPoolExecutor(options.jobs) as executor,
    ):
        results = dict(
            zip(
                backends,
                executor.map(
                    lambda backend: run_pytest(backend, arguments, Path(folder) / f"{backend}.xml"),
                    backends,
                ),
                strict=True,
            )
        )

    print(f"\n{', '.join(backends)}, {time.monotonic() - began:.0f} seconds:")
    for backend, (status, counts) in results.items():
        print(f"  {backend}: {counts['passed']} passed, pytest ended with status {status}")
    total = sum((counts for _, counts in results.values()), Counter())
    print(f"{total['passed']} passed, {total['failed']} failed, {total['skipped']} skipped")
    # A backend may have no test among those that were asked for, but not all of them.
    sound = {status for status, _ in results.values()} <= {0, NO_TESTS}
    sys.exit(0 if sound and total["passed"] else 1)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
