"""Peak memory of this process, as Linux reports it."""

from pathlib import Path

STATUS = Path("/proc/self/status")  # Linux
RESET = Path("/proc/self/clear_refs")


def is_measurable():
    """Return whether this system reports the memory of a process."""
    return STATUS.exists()


def resident():
    """Return the memory in bytes that this process has now."""
    return _read("VmRSS")


def reset_peak():
    """Let the peak start at the memory that this process has now."""
    RESET.write_text("5")


def peak():
    """Return the largest memory in bytes since `reset_peak`."""
    return _read("VmHWM")


def _read(field):
    for line in STATUS.read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"{STATUS} has no field {field}")
