"""Input pipeline: sources, decoding, cropping, augmentation and batching."""
