"""Dtype policies, and maps of them by the path of a layer."""

import keras
from keras.dtype_policies import DTypePolicyMap


def get_policy(dtype):
    """Return the Keras dtype policy for any `dtype` argument; a map is copied.

    Keras clears the names of the policies in a map without a default when it saves the map, and
    they are lost when it is loaded. The copy has a default and policies of its own.
    """
    policy = keras.dtype_policies.get(dtype)  # Keras's global policy for None
    if not isinstance(policy, DTypePolicyMap):
        return policy
    policies = {path: keras.dtype_policies.get(value.name) for path, value in policy.items()}
    return DTypePolicyMap(policy.default_policy, policies)


def policy_of(layer):
    """Return the dtype policy of a layer; from a map, the one for the path it was built with."""
    policy = layer.dtype_policy
    return policy[layer.path] if isinstance(policy, DTypePolicyMap) and layer.path else policy
