"""Fine-tune Mixer-B/16 from ImageNet-21k on CIFAR-100 at 448 pixels.

    python3 run.py train finetune-cifar100-448

Expected: not published for B/16, nor for single datasets; L/16 has a mean of 93.91 % over five
datasets (table 2; the paper's, not ours). Hardware: four times the time of the recipe at 224. Not
measured by us.
"""

from training.recipes import finetune_cifar100
from training.recipes.finetune_imagenet import at_448

CONFIG = at_448(finetune_cifar100.CONFIG)
