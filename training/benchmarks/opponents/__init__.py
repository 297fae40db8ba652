"""Mixers written by hand without Keras, for each backend: what `benchmark speed` compares with.

Each is what an expert would write in about a page, with the optimizer and the loss:
`training/benchmarks/opponents/task.py` says what they have in common.
"""
