"""Mixer-L/16 on ImageNet-1k from scratch, as in the paper.

    python3 run.py train imagenet-l16 --data-dir DIR

Like `imagenet-b16` in all but the model size (table 4). Expected: 71.76 % top-1 (table 3; the
paper's, not ours), less than B/16, since the larger model overfits without more data. Hardware:
0.04 thousand TPUv3 core-days (table 3, extrapolated by the authors); on one device add
`--batch-size 128 --accumulation-steps 32 --rematerialize`. Not measured by us.
"""

from training.recipes import imagenet_b16

CONFIG = imagenet_b16.CONFIG.vary(variant="L/16")
