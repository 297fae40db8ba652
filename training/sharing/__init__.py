"""Models as folders and repositories for others: weights, configuration, classes, model card."""
