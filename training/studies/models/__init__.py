"""Architectures to compare with MLP-Mixer."""
