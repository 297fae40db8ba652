"""One training run: its folder, its checkpoints, its progress and its callbacks."""
