"""Mixer-L/16 on ImageNet-21k, to be fine-tuned afterwards.

    python3 run.py train imagenet21k-l16 --source folder:DIR

Like `imagenet21k-b16`, with the stronger augmentation of table 4. Expected: 82.89 % top-1 after
`finetune-imagenet --variant L/16` (table 3; the paper's, not ours). Hardware: 0.41 thousand TPUv3
core-days (table 3, extrapolated by the authors); on one device add
`--batch-size 128 --accumulation-steps 32 --rematerialize`. Not measured by us.
"""

from training.recipes import imagenet21k_b16

CONFIG = imagenet21k_b16.CONFIG.vary(variant="L/16", randaugment_magnitude=20, mixup_alpha=0.5)
