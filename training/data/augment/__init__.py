"""Random augmentation of training images and labels."""
