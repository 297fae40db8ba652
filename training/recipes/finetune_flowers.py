"""Fine-tune Mixer-B/16 from ImageNet-21k on Oxford Flowers-102.

    python3 run.py train finetune-flowers

Like `finetune-pets`, for the 500 steps of ViT's table 4 (arXiv 2010.11929), of which 100 are
warmup, as in the authors' code. Expected: the paper gives the mean of five datasets only, 92.50 %
(table 3; not ours). Hardware: one accelerator, for a fortieth of the steps of `finetune-imagenet`.
Not measured by us.
"""

from training.recipes import finetune_pets

CONFIG = finetune_pets.CONFIG.vary(source="flowers102")
