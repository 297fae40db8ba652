"""Fine-tune Mixer-B/16 from ImageNet-21k on CIFAR-10.

    python3 run.py train finetune-cifar10

Like `finetune-imagenet`, for the 10,000 steps of ViT's table 4 (arXiv 2010.11929). Expected:
96.82 %, L/16 98.34 (the authors' code, which evaluates with `--evaluation-transform resize`;
theirs, not ours). Hardware: 9.6 h on four V100 there. Not measured by us.
"""

from training.recipes import finetune_imagenet

CONFIG = finetune_imagenet.CONFIG.vary(source="cifar10", total_steps=10_000)
