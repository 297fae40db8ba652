"""Loss, learning-rate schedule, update rule, EMA, frozen layers and SAM."""
