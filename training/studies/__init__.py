"""Experiments that compare models, and the other architectures they need."""
