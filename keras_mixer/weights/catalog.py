"""Every published weight file of a Mixer: one row each, with the numerics it was trained with."""

import dataclasses
import os

from keras_mixer.sizes import SIZES

BUCKET = "https://storage.googleapis.com/mixer_models"
HUB = "https://huggingface.co/timm"
HUB_PREFIX = "hf://"  # of repositories on the Hugging Face Hub: see keras_mixer.weights.hub
IMAGE_SIZE = 224  # pixels a side, which all of them were trained at
ALIASES = {"imagenet": "imagenet1k"}  # the name in keras.applications

APACHE = "Apache-2.0 (the authors' repository; the files carry no license of their own)"
MIIL_LICENSE = "Apache-2.0 (model card); the authors' code says MIT"

MISNAMED_BY_TIMM = (
    "Trained on ImageNet-1k from scratch. timm and its copies call this file "
    "goog_in21k_ft_in1k, which is wrong: a fine-tuned ImageNet-21k model was never published."
)
NOT_FINE_TUNED = (
    "Pre-training only, with 21843 classes. The accuracies that others list for it belong to a "
    "fine-tuned model that was never published."
)
GSAM_UNVERIFIED = (
    "Nobody has published an evaluation of this file; the first upload was corrupt, and timm's "
    "author found the ViT files of the same series to be very poor. Measure before you rely on it."
)
S8_UNVERIFIED = f"A size that the paper does not have. {GSAM_UNVERIFIED}"
SAM_EVALUATION = (
    "Users measured 68.9 and 75.6 %, with preprocessing other than the evaluation transform here."
)
DIGEST_UNPUBLISHED = "The size of the file and its digest are not published; the server's are used."


@dataclasses.dataclass(frozen=True)
class PretrainedWeights:
    """One published file, and what it takes to reproduce its authors' numbers."""

    variant: str  # name of the constructor, "MixerB16"
    name: str  # what `weights` calls it
    url: str
    num_bytes: int | None  # size of the file; None if not published
    digest: str | None  # "sha256:…"; None if not published, as for all of them so far
    classes: int
    top1: tuple[tuple[float, str], ...] = ()  # ImageNet accuracy in percent, and who reports it
    value_range: tuple[int, int] = (-1, 1)  # of the pixels that the stem takes
    transform: str = "resmall-crop"  # evaluation transform, in keras_mixer.transforms
    approximate_gelu: bool = True  # tanh, as in Flax; False: erf, as in PyTorch
    licence: str = APACHE  # spelled as in the JSON of 0.1.0
    warning: str = ""

    @property
    def size(self):
        """The `MixerSize` of the variant."""
        return next(s for s in SIZES.values() if s.constructor_name == self.variant)

    @property
    def grid(self):
        """Number of patches (down, across) at the trained image size."""
        side = IMAGE_SIZE // self.size.patch_size
        return (side, side)

    @property
    def path(self):
        """Where the file is cached, relative to Keras's cache."""
        return f"models/keras_mixer/{self.name}/{self.variant}.{self.url.rpartition('.')[2]}"


def _google(variant, name, num_bytes, classes=1000, **more):
    model = variant.removeprefix("Mixer")
    url = f"{BUCKET}/{name}/Mixer-{model[0]}_{model[1:]}.npz"
    return PretrainedWeights(variant, name, url, num_bytes, None, classes, **more)


def _miil(name, classes, **more):
    return PretrainedWeights(
        "MixerB16",
        name,
        f"{HUB}/mixer_b16_224.{name}/resolve/main/model.safetensors",
        None,
        None,
        classes,
        value_range=(0, 1),
        transform="timm-bilinear",
        approximate_gelu=False,
        licence=MIIL_LICENSE,
        warning=DIGEST_UNPUBLISHED,
        **more,
    )


PAPER, TIMM, SAM_PAPER = "paper, table 3", "timm", "SAM paper"
KECAM = "keras_cv_attention_models"

CATALOG = (
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
NAMES = {row.name for row in CATALOG} | ALIASES.keys()


def published(variant):
    """Return the names of the published weights of a variant (the constructor's name)."""
    return [row.name for row in CATALOG if row.variant == variant]


def find(variant, name):
    """Return the published weights of a variant by their name.

    Raises:
        ValueError: If there are none; it lists what the variant has, and who has that name.
    """
    wanted = ALIASES.get(name, name)
    for row in CATALOG:
        if (row.variant, row.name) == (variant, wanted):
            return row
    here = published(variant)
    elsewhere = [row.variant for row in CATALOG if row.name == wanted]
    listed = f"{variant} was published as {', '.join(here)}." if here else ""
    others = f"{wanted!r} exists for {', '.join(elsewhere)}." if elsewhere else ""
    raise ValueError(
        f"{variant}: `weights` must be the name of published weights of this variant, the "
        f"path of a weight file, {HUB_PREFIX}USER/REPO, or None. Received: weights={name!r}. "
        f"{listed or f'No weights of {variant} were ever published.'} "
        f"{others or f'No variant has weights called {name!r}.'} "
        "keras_mixer.list_weights() shows all; pass weights=None for random weights."
    )


def resolve(variant, weights):
    """Return `weights`, or its row of the catalog if it is the name of published weights.

    Raises:
        ValueError: If a name is not one of this variant's.
    """
    if not isinstance(weights, str) or weights.startswith(HUB_PREFIX):
        return weights
    is_path = os.sep in weights or os.path.splitext(weights)[1] or os.path.isfile(weights)
    return weights if is_path and weights not in NAMES else find(variant, weights)
