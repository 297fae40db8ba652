"""Keras's environment variables for the hosts of a run on JAX."""

ADDRESSES, NUMBER, PROCESS = (
    f"KERAS_DISTRIBUTION_{name}" for name in ("JOB_ADDRESSES", "NUM_PROCESSES", "PROCESS_ID")
)
