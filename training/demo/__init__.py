"""Local web page on which people try models: classes, explanations and permuted pixels."""
