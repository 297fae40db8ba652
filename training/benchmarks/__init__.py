"""Speed and memory, measured: pairs in one run, reported as ratios of medians."""
