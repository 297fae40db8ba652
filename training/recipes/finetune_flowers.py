"""Fine-tune Mixer-B/16 from ImageNet-21k on Oxford Flowers-102.

    python3 run.py train finetune-flowers

As `finetune-pets`, for the 500 steps of ViT's table 4 (arXiv 2010.11929), 100 of them warmup
as in the authors' code. Expected: the paper gives the mean of five sets only, 92.50 % (table 3; not
ours). Hardware: one accelerator, for a fortieth of the steps of `finetune-imagenet`. Not measured
by us.
"""

import dataclasses

from training.recipes import finetune_pets

CONFIG = dataclasses.replace(
    finetune_pets.CONFIG,
    data=dataclasses.replace(finetune_pets.CONFIG.data, source="flowers102"),
)
