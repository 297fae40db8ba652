"""The digits recipe scaled down to a few seconds, to try the commands."""

from training.config import Config, Data, Model, Optimization

CONFIG = Config(
    data=Data(source="digits", image_size=8, batch_size=128),
    model=Model(patch_size=4, hidden_dim=32, num_blocks=2, tokens_mlp_dim=16, channels_mlp_dim=64),
    optimization=Optimization(total_epochs=3, learning_rate=5e-3, warmup_steps=10),
)
