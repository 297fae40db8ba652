"""The configuration of a training run: closed, typed, frozen.

Every field is an option of `python -m training train RECIPE`, with its docstring as help.
"""

import dataclasses
import math
import typing
from typing import Any, Literal

from training.validation import (
    refuse_unless,
    require_fraction,
    require_not_negative,
    require_positive,
    require_range,
)


@dataclasses.dataclass(frozen=True)
class Data:
    source: str = "digits"
    """Where the images come from: digits (1,797 scans of 8 × 8 grey pixels in 10 classes, which
    come with scikit-learn), folder:PATH (images in PATH/train/CLASS, and validation and test
    likewise, or in PATH/CLASS), arrays:FILE.npz (x_train, y_train and so on), tfds:NAME (a set
    of TensorFlow Datasets), or a name that stands for one with its splits: imagenet, cifar10,
    cifar100, pets, flowers102, imagenet-real, fewshot-imagenet and others."""

    data_dir: str = ""
    """Folder of TensorFlow Datasets; its own default if empty. Files that have to be fetched by
    hand are looked for in DATA_DIR/downloads/manual."""

    train_split: str = ""
    """Split of a tfds set to train on, such as train[:98%]; train, or what the set's short name
    says, if empty."""

    validation_split: str = ""
    """Split of a tfds set for validation; none, or what the set's short name says, if empty."""

    test_split: str = ""
    """Split of a tfds set for the test; test, or what the set's short name says, if empty."""

    on_bad_image: Literal["error", "skip"] = "error"
    """What to do about image files in folders that cannot be read: refuse to start, or leave
    them out, count them in summary.json and list them in skipped_images.txt."""

    cache: Literal["none", "memory", "disk"] = "none"
    """Where to keep the images for training and validation, encoded as they come: for sets that
    are slow to read. On disk they are kept for later runs."""

    cache_dir: str = ""
    """Folder of the cache on disk."""

    deterministic: bool = True
    """The same seed gives the same batches. With --no-deterministic images come in the order in
    which they are ready, which can be faster."""

    image_size: int = 8
    """Side of the square images that the model sees, in pixels."""

    batch_size: int = 64
    """Images per training step, of all devices together; they must divide it evenly."""

    validation_fraction: float = 0.1
    """Share of the training images that is held out for validation where the source has no such
    part (digits, folder, arrays); 0 trains on all of them."""

    test_fraction: float = 0.2
    """Share of the images that is held out for the test where a folder or file of arrays has no
    such part."""

    training_crop: Literal["resize", "inception", "pad"] = "resize"
    """How a training image comes to its size: squashed, by a random crop of 5 to 100 % of its
    area and an aspect of 3/4 to 4/3 (as the Mixers were trained), or squashed, padded by an
    eighth and cropped at random."""

    flip: bool = False
    """Mirror half of the training images."""

    evaluation_transform: Literal[
        "resmall-crop", "resize-crop", "resize", "timm-bicubic", "timm-bilinear"
    ] = "resize"
    """How an image of the validation or test comes to its size; see keras_mixer.preprocessing."""

    def check(self):
        require_positive(self, "image_size", "batch_size")
        require_fraction(self, "validation_fraction", "test_fraction")
        refuse_unless(
            self.cache != "disk" or self.cache_dir,
            "cache_dir",
            "must name a folder with --cache disk",
            "nothing",
            "Name one on a disk that has room for the set.",
        )


@dataclasses.dataclass(frozen=True)
class Augmentation:
    shift_fraction: float = 0.0
    """Largest random shift along either axis, as a share of the image size."""

    rotation_degrees: float = 0.0
    """Largest random rotation, either way."""

    zoom_fraction: float = 0.0
    """Largest random zoom in or out, as a share of the image size."""

    randaugment_magnitude: float = 0.0
    """m of RandAugment, in the unit of the Mixer paper, whose values are 10, 15 and 20; 0 turns it
    off."""

    randaugment_layers: int = 2
    """Operations per image of RandAugment; 2 in the paper."""

    augmix_severity: float = 0.0
    """Largest level of AugMix's operations, up to 10; 3 in its paper; 0 turns it off."""

    color_jitter: float = 0.0
    """Brightness, contrast and saturation are each changed by a random factor of 1 ± this."""

    hue_jitter: float = 0.0
    """Largest random turn of the hue either way, as a share of the colour circle, up to 0.5."""

    cutout_fraction: float = 0.0
    """Side of the grey square that covers a random part of each image, as a share of the image
    size; 0 turns it off."""

    erasing_probability: float = 0.0
    """Share of the images in which a random rectangle of 2 to 33 % of the area becomes grey."""

    mixup_alpha: float = 0.0
    """Mixup draws the share of two images from Beta(alpha, alpha); 0 turns it off."""

    cutmix_alpha: float = 0.0
    """CutMix draws the share of an image that a box of another leaves from Beta(alpha, alpha); 0
    turns it off. Where mixup is on too, a batch gets one of the two at random."""

    mix_probability: float = 1.0
    """Share of the batches that mixup or CutMix changes at all, where either is on."""

    def check(self):
        require_fraction(self, "shift_fraction", "zoom_fraction", "color_jitter", "cutout_fraction")
        require_not_negative(
            self, "rotation_degrees", "randaugment_magnitude", "mixup_alpha", "cutmix_alpha"
        )
        require_positive(self, "randaugment_layers")
        require_range(self, "augmix_severity", 10)
        require_range(self, "hue_jitter", 0.5)
        require_range(self, "erasing_probability", 1)
        require_range(self, "mix_probability", 1)


SIZE_FIELDS = ("patch_size", "hidden_dim", "num_blocks", "tokens_mlp_dim", "channels_mlp_dim")
Variant = Literal["S/32", "S/16", "S/8", "B/32", "B/16", "L/32", "L/16", "H/14"]
VARIANTS = typing.get_args(Variant)
BY_THE_VARIANT: dict[str, Any] = dict.fromkeys(
    SIZE_FIELDS, 0
)  # for recipes: Model(variant="B/16", **BY_THE_VARIANT)


@dataclasses.dataclass(frozen=True)
class Model:
    variant: Variant | Literal[""] = ""
    """A size of the paper, with its patch. It sets the five numbers that follow, which must all be
    0 then; without one they are a size of your own."""

    patch_size: int = 2
    """P, side of a patch in pixels; it must divide the image size."""

    hidden_dim: int = 128
    """C, width of a token."""

    num_blocks: int = 4
    """Number of Mixer blocks."""

    tokens_mlp_dim: int = 64
    """D_S, hidden width of the token-mixing MLPs."""

    channels_mlp_dim: int = 512
    """D_C, hidden width of the channel-mixing MLPs."""

    drop_path_rate: float = 0.0
    """Stochastic depth of the last block; it grows linearly from 0 in the first."""

    dropout_rate: float = 0.0
    """Dropout inside the MLPs."""

    weights: str = ""
    """Weights to start from, with a new head of zeros: a published checkpoint of the variant
    (imagenet1k, imagenet21k, sam, gsam, miil_in21k or miil_in21k_ft_in1k; python -m keras_mixer
    weights lists them), which is fetched, or the path of a file. Random ones if empty."""

    resolution: Literal["block_diagonal", "interpolate"] = "block_diagonal"
    """What becomes of weights at another image size than they were trained at: at a multiple of
    it each part is mixed by itself, as in the paper; or at any size the maps of the hidden units
    are resized, which is our method."""

    head_bias: float = 0.0
    """Bias of each class of the head at the start. With --loss sigmoid on many classes, minus the
    logarithm of their number says that most answers are no: -6.9 for a thousand."""

    rematerialize: bool = False
    """Keep the input of each block only, and compute the block again for the gradient: less memory
    for about a third more time. The weights come out the same."""

    @property
    def patch(self):
        """Side of a patch in pixels, the variant's or its own."""
        return int(self.variant.partition("/")[2]) if self.variant else self.patch_size

    def check(self):
        if self.variant:
            own = {size: getattr(self, size) for size in SIZE_FIELDS if getattr(self, size)}
            options = " ".join(f"--{size.replace('_', '-')} 0" for size in own)
            refuse_unless(
                not own,
                "variant",
                f"{self.variant} sets the sizes, and each of them must be 0",
                ", ".join(f"{size} {value}" for size, value in own.items()),
                f"Add {options}, or leave --variant out.",
            )
        else:
            require_positive(self, *SIZE_FIELDS)
        require_fraction(self, "drop_path_rate", "dropout_rate")
        refuse_unless(
            math.isfinite(self.head_bias),
            "head_bias",
            "must be finite",
            self.head_bias,
            "Pass 0 for none.",
        )


@dataclasses.dataclass(frozen=True)
class Optimization:
    total_epochs: int = 60
    """Passes over the training images."""

    total_steps: int = 0
    """Updates of the weights, instead of --total-epochs; 0 counts epochs."""

    optimizer: Literal["adamw", "sgd"] = "adamw"
    """AdamW (β 0.9 and 0.999), by which the Mixers were pre-trained, or SGD with momentum, by which
    they were fine-tuned."""

    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    """How the learning rate goes on from its peak: to 0 by half a cosine, linearly to a
    hundred-thousandth, or not down at all."""

    learning_rate: float = 1e-3
    """Peak learning rate, after the warmup."""

    reference_batch_size: int = 0
    """Images per update for which the learning rate is meant: it is multiplied by --batch-size
    times --accumulation-steps, and divided by this. 0 takes it as it is."""

    warmup_steps: int = 100
    """Updates of linear warmup from 0 to the peak."""

    weight_decay: float = 0.1
    """Decoupled weight decay of the kernels, per update and multiplied by the learning rate. The
    authors fine-tuned, by sgd, with 0."""

    momentum: float = 0.9
    """Share of the earlier gradients that sgd keeps."""

    clip_global_norm: float = 1.0
    """Largest norm of all gradients together; longer ones are scaled down to it. 0 leaves them."""

    loss: Literal["softmax", "sigmoid"] = "softmax"
    """Cross-entropy of the classes together, or of each by itself, summed over them: so the
    Mixers were trained on ImageNet."""

    label_smoothing: float = 0.0
    """Share of each label that is spread evenly over all classes."""

    accumulation_steps: int = 1
    """Batches whose gradients are averaged for one update: --batch-size times this are its
    images, of which --batch-size need memory at a time."""

    ema_momentum: float = 0.0
    """Share that the moving average of the weights keeps at each update, such as 0.9999; the
    average is what is validated, tested and saved. 0 takes the last weights."""

    freeze: Literal["nothing", "body"] = "nothing"
    """What keeps its weights: with body all but the head."""

    frozen_blocks: int = 0
    """Number of blocks, from the first, that keep their weights, with the stem before them."""

    layer_decay: float = 1.0
    """Factor of the learning rate from each layer to the one before it: the head has it whole, the
    last block times this, the one before times its square, and so on to the stem."""

    sam_rho: float = 0.0
    """ρ of sharpness-aware minimization: the weights move by the gradient at a point that lies so
    far up the slope, such as 0.05. It takes twice the time. 0 turns it off."""

    def check(self):
        require_positive(self, "total_epochs", "learning_rate", "accumulation_steps", "layer_decay")
        require_not_negative(
            self,
            "total_steps",
            "reference_batch_size",
            "warmup_steps",
            "weight_decay",
            "clip_global_norm",
            "frozen_blocks",
            "sam_rho",
        )
        require_fraction(self, "momentum", "label_smoothing", "ema_momentum")
        refuse_unless(
            self.layer_decay <= 1,
            "layer_decay",
            "must be at most 1",
            self.layer_decay,
            "Pass 0.75.",
        )
        refuse_unless(
            self.freeze == "nothing" or not self.frozen_blocks,
            "frozen_blocks",
            f"must be 0 with --freeze {self.freeze}, which has them all",
            self.frozen_blocks,
            "Leave one of the two out.",
        )


@dataclasses.dataclass(frozen=True)
class Checkpointing:
    checkpoint_minutes: float = 5.0
    """Minutes of training between two checkpoints; 0 for none by time."""

    checkpoint_steps: int = 0
    """Updates of the weights between two checkpoints; 0 for none by steps."""

    keep_checkpoints: int = 2
    """How many of the newest checkpoints are kept, besides the one of the best validation."""

    def check(self):
        require_not_negative(self, "checkpoint_minutes", "checkpoint_steps")
        require_positive(self, "keep_checkpoints")


@dataclasses.dataclass(frozen=True)
class Hardware:
    devices: int = 0
    """Devices to train on, the first of those that the backend finds; 0 takes all. They share
    each batch."""

    model_devices: int = 1
    """Devices that share one copy of the weights, for models that are too large for one (JAX)."""

    precision: Literal["auto", "float32", "mixed_bfloat16", "mixed_float16"] = "auto"
    """What is computed in; weights are kept in float32. auto takes mixed_bfloat16 on TPUs and on
    GPUs that have it, and float32 elsewhere."""

    def check(self):
        refuse_unless(
            self.devices >= 0, "devices", "must be at least 0", self.devices, "Pass 0 for all."
        )
        require_positive(self, "model_devices")


@dataclasses.dataclass(frozen=True)
class Config:
    seed: int = 0
    """Seed of everything random: weights, order of the images, augmentation, dropout."""

    data: Data = Data()
    augmentation: Augmentation = Augmentation()
    model: Model = Model()
    optimization: Optimization = Optimization()
    checkpointing: Checkpointing = Checkpointing()
    hardware: Hardware = Hardware()

    def check(self):
        """Raise UserError, naming the option, if any field is unsound."""
        parts = (
            self.data,
            self.augmentation,
            self.model,
            self.optimization,
            self.checkpointing,
            self.hardware,
        )
        for part in parts:
            part.check()
        refuse_unless(
            0 <= self.seed < 2**32,
            "seed",
            "must be at least 0 and below 2**32",
            self.seed,
            "Pass a small whole number.",
        )
        variant, patch = self.model.variant, self.model.patch
        refuse_unless(
            self.data.image_size % patch == 0,
            "image_size",
            "must be a multiple of "
            + (f"the patch of --variant {variant}, " if variant else "--patch-size, ")
            + str(patch),
            self.data.image_size,
            "Change one of the two.",
        )
        refuse_unless(  # of a variant: see `training.run.compiled_model`, which knows its blocks
            variant or self.optimization.frozen_blocks <= self.model.num_blocks,
            "frozen_blocks",
            f"must be at most --num-blocks, {self.model.num_blocks}",
            self.optimization.frozen_blocks,
            "Pass fewer.",
        )
