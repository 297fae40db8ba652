"""What the weights are moved by: the loss, the learning rate over time, the optimizer."""

import keras


def loss_function(optimization):
    """Softmax cross-entropy of logits against one-hot or soft labels."""
    return keras.losses.CategoricalCrossentropy(
        from_logits=True, label_smoothing=optimization.label_smoothing
    )


def learning_rate_schedule(optimization, total_steps):
    """Linear warmup from 0 to the peak, then half a cosine to 0 at `total_steps`."""
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0,
        warmup_target=optimization.learning_rate,
        warmup_steps=optimization.warmup_steps,
        decay_steps=total_steps - optimization.warmup_steps,
    )


def optimizer(optimization, total_steps):
    """AdamW with clipping by global norm; only kernels decay, not biases and norms."""
    adamw = keras.optimizers.AdamW(
        learning_rate=learning_rate_schedule(optimization, total_steps),
        weight_decay=optimization.weight_decay,
        global_clipnorm=optimization.clip_global_norm,
    )
    adamw.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return adamw
