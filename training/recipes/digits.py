"""Handwritten digits from scratch, in about a minute on two CPU cores.

    python3 run.py train digits

Test accuracy, measured here: 0.989, 0.997 and 0.983 with the seeds 0, 1 and 2, on each backend.
"""

from training.config import Augmentation, Config, Data, Model, Optimization

CONFIG = Config(
    data=Data(source="digits", image_size=8, batch_size=64, validation_fraction=0.05),
    augmentation=Augmentation(shift_fraction=0.1, mixup_alpha=0.2),
    model=Model(
        patch_size=2, hidden_dim=128, num_blocks=4, tokens_mlp_dim=64, channels_mlp_dim=512
    ),
    optimization=Optimization(
        total_epochs=60,
        learning_rate=2e-3,
        warmup_steps=100,
        weight_decay=0.3,
        label_smoothing=0.1,
    ),
)
