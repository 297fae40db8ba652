"""Fine-tune Mixer-B/16 from ImageNet-21k on ImageNet-1k.

    python3 run.py train finetune-imagenet --data-dir DIR

The other fine-tuning recipes differ from this one in dataset and steps only. `--variant L/16`
selects the larger model, and `--batch-size 64 --accumulation-steps 8 --rematerialize` saves memory.
`--train-split train` trains on all images, as the paper does after the settings are chosen.

Source: appendix B of arXiv 2105.01601, which follows table 4 of ViT, 2010.11929: SGD with momentum
and without weight decay, batch size 512, cosine schedule, 20,000 steps. The paper selects the
learning rate from 0.003, 0.01, 0.03 and 0.06 on a validation split; 0.03 is the default of the
authors' code, as are the 500 warmup steps. That code uses Inception crops and flips; the paper
(A.2) found that the crops do not help here. They stay, since results for single datasets are
published for this code only.
Expected: 80.64 % top-1, L/16 82.89 (table 3; the paper's, not ours). Hardware: one accelerator with
memory for 512 images, or less with the options above. Not measured by us.
"""

from training.config import Config, Data, Model, Optimization

CONFIG = Config(
    data=Data(
        source="imagenet",
        image_size=224,
        batch_size=512,
        training_crop="inception",
        flip=True,
        evaluation_transform="resmall-crop",
    ),
    model=Model(variant="B/16", weights="imagenet21k"),
    optimization=Optimization(
        total_steps=20_000,
        optimizer="sgd",
        learning_rate=0.03,
        warmup_steps=500,
        weight_decay=0.0,
    ),
)


def at_448(config):
    """Return a fine-tuning recipe with images of 448 instead of 224 pixels.

    The image is split into four parts of 224 × 224 pixels, and block-diagonal weights mix the
    tokens of each part (appendix C of arXiv 2105.01601). The paper does not give the size before
    the center crop at evaluation for 448 pixels (table 2); images are resized to 512 × 512 here.
    """
    return config.vary(image_size=448, evaluation_transform="resize-crop")
