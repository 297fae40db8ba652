"""`python -m training demo`: try models on a local web page."""

import asyncio
import dataclasses
import sys
from typing import Annotated

import tyro

from keras_mixer.terminal import printable
from training.backend import require_backend
from training.cli.class_choice import names_to_show
from training.cli.model_options import (
    Activation,
    ClassNames,
    EvaluationTransform,
    read_class_names,
)
from training.demo.address import allowed_hosts, open_port, url_of
from training.errors import UserError
from training.model_argument import parse
from training.validation import refuse_unless

MOST_MODELS = 4  # that fit beside each other
MOST_MEGABYTES = 1000
MOST_MEGAPIXELS = 170  # of which a copy in float32 has 2 GB
Models = Annotated[
    tuple[str, ...],
    tyro.conf.Positional,
    tyro.conf.arg(metavar="MODEL...", help_behavior_hint="(one or more)"),
]


def run(
    models: Models,
    host: str = "127.0.0.1",
    port: int = 7860,
    max_megabytes: int = 20,
    max_megapixels: int = 50,
    evaluation_transform: EvaluationTransform = "",
    activation: Activation = "",
    class_names: ClassNames = "",
    trust_model: bool = False,
):
    """Serve a local web page on which to try models, until ctrl-C.

    Drop an image on the page or use the camera: it shows the most likely classes, maps of the
    patches that decided them, and what remains of the prediction when patches and pixels are
    permuted. Several models are shown beside each other.

    Args:
        models: Models: a run (RUN, RUN@best, RUN@step-1200), a file FILE.keras, a shared model
            (hf://USER/REPO or its folder), or a constructor and its weights
            (MixerB16:imagenet1k, MixerB16:FILE.npz). At most 4.
        host: Address to listen on. The default accepts connections from this computer only;
            0.0.0.0 accepts them from everyone who can reach it, without a password or encryption.
        port: Port to listen on; 0 picks a free one.
        max_megabytes: Largest image file that is accepted, in millions of bytes.
        max_megapixels: Largest image that is decoded, in millions of pixels.
        evaluation_transform: How images are resized and cropped; see keras_mixer.preprocessing.
            Defaults to the transform of each run, or of published weights; else resmall-crop.
        activation: How logits become probabilities. Defaults to the loss of each run, or to the
            last activation of the file; else softmax.
        class_names: File with the names of the classes of all models, one on each line or as a
            JSON list. Defaults to the names that each run knows, or those of published weights;
            else classes are numbered.
        trust_model: Load .keras files that have more than a Mixer and layers of Keras that only
            compute, such as a Lambda layer. What such files name is executed with your rights.
    """
    if not 0 < len(models) <= MOST_MODELS:
        raise UserError(
            f"MODEL... must be 1 to {MOST_MODELS} models. Received: {len(models) or 'none'}. "
            "Pass a run or MixerB16:imagenet1k, for example."
        )
    refuse_unless(
        bool(host), "host", "must be an address of this computer", "nothing", "Leave it out."
    )
    refuse_unless(0 <= port < 2**16, "port", "must be from 0 to 65535", port, "Pass 7860.")
    for name, value, most in (
        ("max_megabytes", max_megabytes, MOST_MEGABYTES),
        ("max_megapixels", max_megapixels, MOST_MEGAPIXELS),
    ):
        refuse_unless(0 < value <= most, name, f"must be from 1 to {most}", value, "Leave it out.")
    arguments = [parse(model) for model in models]
    names = read_class_names(class_names) if class_names else ()

    _require_packages()
    with open_port(host, port) as opened:
        require_backend()
        from training.demo.demo_model import DemoModel, share_patch_size
        from training.demo.server import make_server
        from training.demo.upload import Limits
        from training.model_argument import load_model

        demo_models = []
        for model, argument in zip(models, arguments, strict=True):
            print(f"Loading {printable(model)}", file=sys.stderr, flush=True)
            loaded = load_model(argument, activation, names, trust_model)
            if evaluation_transform:
                loaded = dataclasses.replace(loaded, evaluation_transform=evaluation_transform)
            demo_models.append(DemoModel(model, loaded, names_to_show(loaded)))
            demo_models[-1].warm_up()
        share_patch_size(demo_models)
        limits = Limits(max_megabytes * 10**6, max_megapixels * 10**6)
        print(f"The demo is at {url_of(opened, host)} until you press ctrl-C.", flush=True)
        server = make_server(demo_models, limits, allowed_hosts(opened, host))
        try:
            server.run(sockets=[opened])
        except asyncio.CancelledError as error:  # by a second ctrl-C
            raise KeyboardInterrupt from error


def _require_packages():
    """Raise UserError unless the packages of the server are installed."""
    try:
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise UserError(
            f"`demo` needs starlette and uvicorn. Received: {error}. Install them with "
            '`pip install -e ".[demo]"`.'
        ) from error
