"""Tables 2 and 3 of the paper: its numbers, not those of this project."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class PaperRow:
    """One row of table 2 or 3.

    Args:
        table: 2 or 3.
        pretraining: Dataset of the pre-training: "ImageNet", "ImageNet-21k", "JFT-300M", or
            "other" for weakly labeled and unlabeled images.
        model: Name of the model.
        resolution: Side of the images in fine-tuning, in pixels; None if not stated.
        epochs: Epochs of the pre-training; None if not stated.
        imagenet: Top-1 accuracy on ImageNet, in percent.
        throughput: Images per second and TPU-v3 core; None if not stated.
        core_days: TPU-v3 core-days of the pre-training.
    """

    table: int
    pretraining: str
    model: str
    resolution: int | None
    epochs: int | None
    imagenet: float
    throughput: float | None
    core_days: float | None

    @property
    def family(self):
        """ "Mixer", "ViT" or "BiT", or the name of another model."""
        return self.model.partition("-")[0]


I1K, I21K, JFT, OTHER = "ImageNet", "ImageNet-21k", "JFT-300M", "other"
TABLE_2 = tuple(
    PaperRow(2, *row)
    for row in (
        (I21K, "HaloNet", None, None, 85.8, 120, 100),
        (I21K, "Mixer-L/16", 448, None, 84.15, 105, 410),
        (I21K, "ViT-L/16", 448, None, 85.30, 32, 180),
        (I21K, "BiT-R152x4", 448, None, 85.39, 26, 940),
        (JFT, "NFNet-F4+", None, None, 89.2, 46, 1860),
        (JFT, "Mixer-H/14", 448, None, 87.94, 40, 1010),
        (JFT, "BiT-R152x4", 448, None, 87.54, 26, 9900),
        (JFT, "ViT-H/14", 448, None, 88.55, 15, 2300),
        (OTHER, "MPL", None, None, 90.0, None, 20480),
        (OTHER, "ALIGN", None, None, 88.64, 15, 14820),
    )
)
TABLE_3 = tuple(
    PaperRow(3, *row)
    for row in (
        (I1K, "Mixer-B/16", 224, 300, 76.44, 1384, 10),
        (I1K, "ViT-B/16", 224, 300, 79.67, 861, 20),
        (I1K, "Mixer-L/16", 224, 300, 71.76, 419, 40),
        (I1K, "ViT-L/16", 224, 300, 76.11, 280, 50),
        (I21K, "Mixer-B/16", 224, 300, 80.64, 1384, 150),
        (I21K, "ViT-B/16", 224, 300, 84.59, 861, 180),
        (I21K, "Mixer-L/16", 224, 300, 82.89, 419, 410),
        (I21K, "ViT-L/16", 224, 300, 84.46, 280, 550),
        (I21K, "Mixer-L/16", 448, 300, 83.91, 105, 410),
        (JFT, "Mixer-S/32", 224, 5, 68.70, 11489, 10),
        (JFT, "Mixer-B/32", 224, 7, 75.53, 4208, 50),
        (JFT, "Mixer-S/16", 224, 5, 73.83, 3994, 30),
        (JFT, "BiT-R50x1", 224, 7, 73.69, 2159, 80),
        (JFT, "Mixer-B/16", 224, 7, 80.00, 1384, 80),
        (JFT, "Mixer-L/32", 224, 7, 80.67, 1314, 120),
        (JFT, "BiT-R152x1", 224, 7, 79.12, 932, 140),
        (JFT, "BiT-R50x2", 224, 7, 78.92, 890, 140),
        (JFT, "BiT-R152x2", 224, 14, 83.34, 356, 580),
        (JFT, "Mixer-L/16", 224, 7, 84.05, 419, 230),
        (JFT, "Mixer-L/16", 224, 14, 84.82, 419, 450),
        (JFT, "ViT-L/16", 224, 14, 85.63, 280, 650),
        (JFT, "Mixer-H/14", 224, 14, 86.32, 194, 1010),
        (JFT, "BiT-R200x3", 224, 14, 84.73, 141, 1780),
        (JFT, "Mixer-L/16", 448, 14, 86.78, 105, 450),
        (JFT, "ViT-H/14", 224, 14, 86.65, 87, 2300),
        (JFT, "ViT-L/16", 512, 14, 87.76, 32, 650),
    )
)
