"""Suffixes of the image files that are looked for in folders."""

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp")
