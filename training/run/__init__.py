"""One training run: its folder, its checkpoints, and the callbacks around `model.fit`."""
