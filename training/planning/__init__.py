"""Memory and compute of a training step on TPUs, from ahead-of-time compilation."""
