"""Mixer-B/16 on ImageNet-21k, to be fine-tuned afterwards.

    python3 run.py train imagenet21k-b16 --source folder:DIR

ImageNet-21k is not in TensorFlow Datasets: DIR/train, DIR/test and optionally DIR/validation hold
one folder for each class. Nothing is held out for validation, since some classes have few images.
Each file is decoded once before the first step.
Source: appendix B and table 4 of arXiv 2105.01601; sigmoid loss and bias of the head from the
authors' configuration for ImageNet-21k. Expected: 80.64 % top-1 after `finetune-imagenet` (table 3;
the paper's, not ours). Hardware: 0.15 thousand TPUv3 core-days (table 3, extrapolated by the
authors); on one device add `--batch-size 256 --accumulation-steps 16 --rematerialize`. Not measured
by us.
"""

from training.recipes import imagenet_b16

CONFIG = imagenet_b16.CONFIG.vary(
    source="folder:imagenet21k",
    validation_fraction=0.0,
    randaugment_magnitude=10,
    mixup_alpha=0.2,
    head_bias=-10.0,
)
