"""The states of PyTorch's own generators.

Keras's dropout without a seed draws from these under PyTorch, and not from the state of its layer,
which is among the model's variables as on the other backends.
"""

import keras


def random_states():
    """Return the states, lists of bytes as integers; none but under PyTorch."""
    if keras.backend.backend() != "torch":
        return []
    import torch

    states = [torch.get_rng_state(), *torch.cuda.get_rng_state_all()]
    return [state.tolist() for state in states]


def set_random_states(states):
    """Set what `random_states` returned."""
    if not states:
        return
    import torch

    of_cpu, *of_devices = (torch.tensor(state, dtype=torch.uint8) for state in states)
    torch.set_rng_state(of_cpu)
    torch.cuda.set_rng_state_all(of_devices)
