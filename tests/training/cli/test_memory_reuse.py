import os
import subprocess
import sys
from pathlib import Path

import pytest

from training.cli.memory_reuse import MOST_CORES, TUNABLES, VARIABLE, keep_freed_memory

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = """
import os, resource, sys
from training.cli.memory_reuse import keep_freed_memory

keep_freed_memory()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    b"a" * 40_000_000
faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(os.environ["GLIBC_TUNABLES"], sys.argv[1:], faults, sep="\\n")
"""


def run_program(**environment):
    kept = {name: value for name, value in os.environ.items() if name != VARIABLE}
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, "an argument", "--option"],
        env={**kept, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return result.stdout.splitlines()


@pytest.mark.skipif(
    not sys.platform.startswith("linux") or os.cpu_count() > MOST_CORES,
    reason="for the C library of Linux, on few cores",
)
def test_the_program_starts_again_and_keeps_its_memory():
    tunables, arguments, faults = run_program()
    assert tunables == ":".join(f"{name}={value}" for name, value in TUNABLES.items())
    assert arguments == "['an argument', '--option']"
    assert int(faults) < 12_000  # the first of ten strings has 9,766 pages
    assert int(run_program(**{VARIABLE: "glibc.malloc.mmap_max=65536"})[2]) > 90_000


def test_settings_of_the_user_stay():
    assert run_program(**{VARIABLE: "glibc.malloc.check=0"})[0] == "glibc.malloc.check=0"


def test_large_computers_stay_as_they_are(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: MOST_CORES + 1)
    monkeypatch.setattr(os, "execve", lambda *arguments: pytest.fail("started again"))
    keep_freed_memory()


def test_the_documentation_has_the_same_settings():
    settings = ":".join(f"{name}={value}" for name, value in TUNABLES.items())
    assert f"{VARIABLE}={settings} python3" in (ROOT / "docs/performance.md").read_text()
