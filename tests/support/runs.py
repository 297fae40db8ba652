"""Small finished runs, for tests of what uses them."""

import numpy as np

from tests.support.models import random_pixels
from training.config import Checkpointing, Config, Data, Model, Optimization
from training.run import train as fit
from training.run.folder import RunFolder

SMALL = Model(patch_size=4, hidden_dim=16, num_blocks=2, tokens_mlp_dim=8, channels_mlp_dim=24)
CLASS_NAMES = ("cat", "dog", "emu")
SUMMARY = {  # of a finished run
    "test_accuracy": 0.5,
    "test_loss": 1.0,
    "test_examples": 6,
    "skipped_images": 0,
    "parameters": 1000,
    "train_images_per_second": None,
    "wall_seconds": 1.5,
    "class_names": list(CLASS_NAMES),
    "backend": "jax",
    "devices": ["cpu:0"],
    "distribution": "one device",
    "precision": "float32",
}


def train_run(folder, **optimization):
    """Return the folder of a small run of 6 updates, which saved each of them."""
    images = random_pixels((30, 8, 8, 3))
    labels = np.arange(30) % 3
    names = {"class_names": np.array(CLASS_NAMES)}
    np.savez(folder / "set.npz", x_train=images, y_train=labels, **names)
    config = Config(
        data=Data(
            source=f"arrays:{folder / 'set.npz'}",
            batch_size=8,
            validation_fraction=0.2,
            evaluation_transform="resize-crop",
        ),
        model=SMALL,
        optimization=Optimization(total_epochs=3, warmup_steps=0, **optimization),
        checkpointing=Checkpointing(
            checkpoint_minutes=0.0, checkpoint_steps=1, keep_checkpoints=99
        ),
    )
    run = RunFolder(folder / "run")
    fit.train(config, run, verbose=0)
    return run
