"""Run pytest once per backend, each in a process of its own, and add up.

python -m tests [PYTEST ARGUMENT …]
"""

import os
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections import Counter
from pathlib import Path

from run import BACKENDS


def run_pytest(backend, arguments, report):
    """Return pytest's exit status and the counts of its outcomes."""
    print(f"\n{backend}\n", flush=True)
    command = [sys.executable, "-m", "pytest", f"--junitxml={report}", *arguments]
    status = subprocess.call(command, env={**os.environ, "KERAS_BACKEND": backend})
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
    return status, counts


def main():
    began = time.monotonic()
    statuses, totals = [], {}
    with tempfile.TemporaryDirectory() as folder:
        for backend in BACKENDS:
            report = Path(folder) / f"{backend}.xml"
            status, totals[backend] = run_pytest(backend, sys.argv[1:], report)
            statuses.append(status)

    print(f"\nAll backends, {time.monotonic() - began:.0f} seconds:")
    for backend, status in zip(BACKENDS, statuses, strict=True):
        counts = totals[backend]
        print(f"  {backend}: {counts['passed']} passed, pytest ended with status {status}")
    total = sum(totals.values(), Counter())
    print(f"{total['passed']} passed, {total['failed']} failed, {total['skipped']} skipped")
    sys.exit(1 if any(statuses) else 0)


if __name__ == "__main__":
    main()
