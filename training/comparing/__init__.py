"""Comparison of runs: what differs, mean and spread over seeds, curves over each other."""
