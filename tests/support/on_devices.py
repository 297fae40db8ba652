"""`python -m training` on several devices that share the cores of this machine.

python -m tests.support.on_devices NUMBER COMMAND…
"""

import os
import sys


def main():
    number, sys.argv[1:] = int(sys.argv[1]), sys.argv[2:]
    os.environ["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={number}"  # JAX's
    import tensorflow as tf

    if os.environ["KERAS_BACKEND"] == "tensorflow":
        (cores,) = tf.config.list_physical_devices("CPU")
        devices = [tf.config.LogicalDeviceConfiguration()] * number
        tf.config.set_logical_device_configuration(cores, devices)
    from training.__main__ import main

    main()


if __name__ == "__main__":
    main()
