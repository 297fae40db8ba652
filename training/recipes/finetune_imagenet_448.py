"""Fine-tune Mixer-B/16 from ImageNet-21k on ImageNet-1k at 448 pixels.

    python3 run.py train finetune-imagenet-448

Expected: not published for B/16; with `--variant L/16` 84.15 % top-1 (table 2; the paper's, not
ours). Hardware: four times the tokens, and so the time, of the recipe at 224;
`--batch-size 16 --accumulation-steps 32 --rematerialize` saves memory. Not measured by us.
"""

from training.recipes import finetune_imagenet

CONFIG = finetune_imagenet.at_448(finetune_imagenet.CONFIG)
