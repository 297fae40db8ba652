"""Every published Mixer checkpoint: one row each, with the numerics that it was trained with."""

import dataclasses

BUCKET = "https://storage.googleapis.com/mixer_models"
HUB = "https://huggingface.co/timm"
IMAGE_SIZE = 224  # pixels a side, at which all of them were trained
ALIASES = {"imagenet": "imagenet1k"}  # the name that keras.applications uses

APACHE = "Apache-2.0 (the authors' repository; the files carry no licence of their own)"
MIIL_LICENCE = "Apache-2.0 (model card); the authors' code says MIT"

MISNAMED_BY_TIMM = (
    "Trained on ImageNet-1k from scratch. timm and its copies call this file "
    "goog_in21k_ft_in1k, which is wrong: a fine-tuned ImageNet-21k model was never published."
)
NOT_FINE_TUNED = (
    "Pre-training only, with 21843 classes. The accuracies that others list for it belong to a "
    "fine-tuned model that was never published."
)
GSAM_UNVERIFIED = (
    "Nobody has published an evaluation of this file; the first upload was broken, and timm's "
    "author found the ViT files of the same series to be very poor. Measure before you rely on it."
)
S8_UNVERIFIED = f"A size that the paper does not have. {GSAM_UNVERIFIED}"
SAM_EVALUATION = (
    "Users measured 68.9 and 75.6 %, with other preprocessing than the evaluation transform here."
)
DIGEST_UNPUBLISHED = "The size of the file and its digest are not published; the server's are used."


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """One published file, and what it takes to get its authors' numbers from it."""

    variant: str  # name of the constructor, "MixerB16"
    name: str  # what `weights` calls it
    url: str
    num_bytes: int | None  # of the file; None if not published
    digest: str | None  # "sha256:…"; None if not published, as for all of them so far
    classes: int
    top1: tuple[tuple[float, str], ...] = ()  # ImageNet accuracy in per cent, and who reports it
    value_range: tuple[int, int] = (-1, 1)  # of the pixels that the stem takes
    transform: str = "resmall-crop"  # evaluation transform of keras_mixer.preprocessing
    approximate_gelu: bool = True  # tanh, as in Flax; False: erf, as in PyTorch
    licence: str = APACHE
    warning: str = ""

    @property
    def patch_size(self):
        """P, in pixels."""
        return int(self.variant.removeprefix("Mixer")[1:])

    @property
    def path(self):
        """Where the file lies, relative to Keras's cache."""
        return f"models/keras_mixer/{self.name}/{self.variant}.{self.url.rpartition('.')[2]}"


def _google(variant, name, num_bytes, classes=1000, **more):
    model = variant.removeprefix("Mixer")
    url = f"{BUCKET}/{name}/Mixer-{model[0]}_{model[1:]}.npz"
    return Checkpoint(variant, name, url, num_bytes, None, classes, **more)


def _miil(name, classes, **more):
    return Checkpoint(
        "MixerB16",
        name,
        f"{HUB}/mixer_b16_224.{name}/resolve/main/model.safetensors",
        None,
        None,
        classes,
        value_range=(0, 1),
        transform="timm-bilinear",
        approximate_gelu=False,
        licence=MIIL_LICENCE,
        warning=DIGEST_UNPUBLISHED,
        **more,
    )


PAPER, TIMM, SAM_PAPER = "paper, table 3", "timm", "SAM paper"
KECAM = "keras_cv_attention_models"

CHECKPOINTS = (
    _google(
        "MixerB16",
        "imagenet1k",
        239_564_448,
        top1=((76.44, PAPER), (76.616, TIMM)),
        warning=MISNAMED_BY_TIMM,
    ),
    _google(
        "MixerL16",
        "imagenet1k",
        832_868_560,
        top1=((71.76, PAPER), (72.084, TIMM)),
        warning=MISNAMED_BY_TIMM,
    ),
    _google("MixerB16", "imagenet21k", 303_677_516, classes=21843, warning=NOT_FINE_TUNED),
    _google("MixerL16", "imagenet21k", 918_324_860, classes=21843, warning=NOT_FINE_TUNED),
    _google(
        "MixerB16",
        "sam",
        239_567_448,
        top1=((77.4, SAM_PAPER), (77.36, KECAM)),
        warning=SAM_EVALUATION,
    ),
    _google("MixerB32", "sam", 241_219_272, top1=((72.47, KECAM),)),
    _google("MixerB16", "gsam", 239_567_448, warning=GSAM_UNVERIFIED),
    _google("MixerB32", "gsam", 241_219_272, warning=GSAM_UNVERIFIED),
    _google("MixerS16", "gsam", 74_143_928, warning=GSAM_UNVERIFIED),
    _google("MixerS32", "gsam", 76_449_368, warning=GSAM_UNVERIFIED),
    _google("MixerS8", "gsam", 82_616_888, warning=S8_UNVERIFIED),
    _miil("miil_in21k", 11221),
    _miil("miil_in21k_ft_in1k", 1000, top1=((82.314, TIMM),)),
)
NAMES = {checkpoint.name for checkpoint in CHECKPOINTS} | ALIASES.keys()


def find(variant, name):
    """Return the checkpoint of a variant (the constructor's name) by its name.

    Raises:
        ValueError: If there is none; it lists what the variant has, and who has that name.
    """
    wanted = ALIASES.get(name, name)
    for checkpoint in CHECKPOINTS:
        if (checkpoint.variant, checkpoint.name) == (variant, wanted):
            return checkpoint
    here = [c.name for c in CHECKPOINTS if c.variant == variant]
    elsewhere = [c.variant for c in CHECKPOINTS if c.name == wanted]
    published = f"{variant} was published as {', '.join(here)}." if here else ""
    others = f"{wanted!r} exists for {', '.join(elsewhere)}." if elsewhere else ""
    raise ValueError(
        f"{variant}: `weights` must be the name of a published checkpoint of this variant, the "
        f"path of a weight file, or None. Received: weights={name!r}. "
        f"{published or f'No checkpoint of {variant} was ever published.'} "
        f"{others or f'No variant has a checkpoint called {name!r}.'} "
        "keras_mixer.list_weights() shows all; pass weights=None for random weights."
    )
