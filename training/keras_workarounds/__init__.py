"""Workarounds for defects of Keras, one file each.

Each file says what Keras does and in which version that was seen, and its test in
`tests/training/keras_workarounds/` fails once Keras no longer does it: then the file can go. They
override private methods, so `setup.cfg` bounds the version of Keras.
"""
