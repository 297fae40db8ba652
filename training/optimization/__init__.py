"""Loss, learning-rate schedule and optimizer."""
