"""Mixer-B/16 on ImageNet-21k, to be fine-tuned afterwards.

    python3 run.py train imagenet21k-b16 --source folder:DIR

ImageNet-21k is not in TensorFlow Datasets: DIR/train and DIR/test hold one folder for each class,
and so may DIR/validation; nothing is held out, since some classes have a few images only. Each file
is decoded once before the first step.
Source: appendix B and table 4 of arXiv 2105.01601; sigmoid loss and bias of the head from the
authors' configuration of ImageNet-21k. Expected: 80.64 % top-1 after `finetune-imagenet` (table 3;
the paper's, not ours). Hardware: 0.15 thousand TPUv3 core-days (table 3, extrapolated by the
authors); on one device add `--batch-size 256 --accumulation-steps 16 --rematerialize`. Not measured
by us.
"""

import dataclasses

from training.config import Augmentation
from training.recipes import imagenet_b16

CONFIG = dataclasses.replace(
    imagenet_b16.CONFIG,
    data=dataclasses.replace(
        imagenet_b16.CONFIG.data, source="folder:imagenet21k", validation_fraction=0.0
    ),
    augmentation=Augmentation(randaugment_magnitude=10, mixup_alpha=0.2),
    model=dataclasses.replace(imagenet_b16.CONFIG.model, head_bias=-10.0),
)
