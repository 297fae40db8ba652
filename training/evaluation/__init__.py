"""Evaluation of a trained model: accuracy, calibration, confusion matrix, predictions."""
