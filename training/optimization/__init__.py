"""What the weights are moved by: the loss, the learning rate over time, the optimizer."""
