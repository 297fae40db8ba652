"""`python -m training` on several devices, which share the cores of this host.

python -m tests.support.on_devices NUMBER COMMAND… [+ COMMAND…]

Several commands run in one process, since starting one takes longer than most of them.
"""

import os
import sys

NEXT = "+"  # separates commands, and their outputs on a line of its own


def main():
    number, arguments = int(sys.argv[1]), sys.argv[2:]
    os.environ["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={number}"  # for JAX
    import tensorflow as tf

    if os.environ["KERAS_BACKEND"] == "tensorflow":
        (cores,) = tf.config.list_physical_devices("CPU")
        devices = [tf.config.LogicalDeviceConfiguration()] * number
        tf.config.set_logical_device_configuration(cores, devices)
    from training.__main__ import main

    for command in split(arguments):
        sys.argv[1:] = command
        main()
        print(f"\n{NEXT}", flush=True)


def split(arguments):
    """Return the commands that `NEXT` separates."""
    commands = [[]]
    for argument in arguments:
        if argument == NEXT:
            commands.append([])
        else:
            commands[-1].append(argument)
    return commands


if __name__ == "__main__":
    main()
