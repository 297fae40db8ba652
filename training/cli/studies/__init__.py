"""Options of the studies, which test claims of the paper."""
