"""Environment variables that name the hosts of a JAX run: Keras's own."""

ADDRESSES, NUMBER, PROCESS = (
    f"KERAS_DISTRIBUTION_{name}" for name in ("JOB_ADDRESSES", "NUM_PROCESSES", "PROCESS_ID")
)
