"""Options that a command does not have, and what people mean by them."""

import dataclasses
import difflib
import re
import typing

import tyro

from training.errors import UserError

OPTION = re.compile(r"--([A-Za-z][\w-]*)(?:=.*)?|-([A-Za-z])", re.DOTALL)
NAMES = {
    "accumulation-steps": "accum accum-steps grad-accum gradient-accumulation-steps",
    "batch-size": "b batch batchsize bs",
    "checkpoint-steps": "save-every save-steps",
    "class-names": "classes labels names",
    "clip-global-norm": "clip clip-grad clipnorm grad-clip gradient-clipping max-grad-norm",
    "devices": "cpus device gpu gpus num-devices num-gpus",
    "drop-path-rate": "stochastic-depth",
    "ema-momentum": "ema-decay model-ema",
    "erasing-probability": "random-erasing reprob",
    "flip": "hflip horizontal-flip",
    "hidden-dim": "dim embed-dim hidden-size width",
    "IMAGE...": "f file files i image images img input path",
    "image-size": "img-size input-size res size",
    "json": "format output-format",
    "jobs": "j n-jobs num-workers parallel workers",
    "keep-checkpoints": "max-to-keep save-total-limit",
    "learning-rate": "base-lr initial-lr lr peak-lr",
    "metric": "by key order order-by sort sort-by",
    "MODEL": "checkpoint ckpt m model model-path resume run run-dir weights",
    "neighbors": "k n-neighbors num-neighbors",
    "num-blocks": "blocks depth layers num-layers",
    "optimizer": "opt optim",
    "output-dir": "dir folder name o out out-dir output save-dir",
    "precision": "amp bf16 dtype fp16 half mixed-precision",
    "penalty": "alpha l2 lambda regularization",
    "quiet": "q silent verbose",
    "randaugment-magnitude": "aa aug augment augmentation autoaugment randaugment",
    "RECIPE": "config recipe",
    "rematerialize": "checkpointing gradient-checkpointing remat",
    "run-dir": "checkpoint-dir experiment folder log-dir logdir name o out out-dir output "
    "output-dir run run-name save-dir workdir",
    "schedule": "lr-scheduler sched scheduler",
    "seeds": "num-seeds repeats seed trials",
    "shots": "k n-shot n-shots num-shots shot",
    "source": "d data data-path dataset folder input train-dir",
    "study-dir": "dir folder o out output output-dir run-dir save-dir",
    "top": "k top-k topk",
    "total-epochs": "e epoch epochs max-epochs n-epochs num-epochs num-train-epochs",
    "total-steps": "iterations iters max-steps num-steps steps updates",
    "validation-fraction": "val val-fraction val-split",
    "variant": "arch architecture backbone m model model-name",
    "warmup-steps": "warmup warmup-epochs",
    "weight-decay": "wd",
    "weights": "checkpoint ckpt finetune init load model-path pretrained",
}  # an argument, and other names of it in other programs
ADVICE = {
    "Set the environment variable KERAS_BACKEND": "backend",
    "Drop it: the same command resumes the run in --run-dir": "continue resume resume-from",
    "Drop it: the data is loaded with all cores": "j num-workers threads workers",
    "Drop it, and pass a new --run-dir": "force overwrite",
    "Drop it: the classes are those of --source": "classes num-classes",
    "Drop it: all devices are used": "distributed strategy tpu",
}  # what to do instead of passing an option


def refuse_unknown_options(arguments, commands, program):
    """Raise UserError if an option is not one of the command's.

    tyro's own message on unknown options compares them with those of all commands.

    Args:
        arguments: What the user typed after the program.
        commands: The function `run` of each command, by name.
        program: The program as the user called it.
    """
    command, *others = arguments or [""]
    if command not in commands or {"-h", "--help"} & set(others):
        return
    run = commands[command]
    chosen = [other for other in others[:1] if not other.startswith("-")]
    known = _arguments_of(run, run, *chosen)
    if not {"RECIPE", "WHAT"} & known:
        chosen = []
    for typed in others:
        if not (match := OPTION.fullmatch(typed)):
            continue
        name = (match[1] or match[2]).replace("_", "-")
        if name not in known:
            raise UserError(
                f"Options must be those of `{command}`. Received: {typed}. "
                f"{_advice(name, known)} The options are listed by "
                f"`{' '.join([program, command, *chosen, '--help'])}`."
            )


def _arguments_of(function, default, chosen=""):
    """Return the names of the arguments of a command; positional ones are in upper case.

    Args:
        function: The function of the command, or a dataclass with some of its options.
        default: An object with the default values of the options as its attributes.
        chosen: Name of the alternative, such as the recipe, that the user chose.
    """
    names: set[str] = set()
    for name, hint in typing.get_type_hints(function, include_extras=True).items():
        value = getattr(default, name, None)
        if sections := list(_sections(hint)):
            for _, kind, own in [s for s in sections if s[0] == chosen] or sections:
                names |= _arguments_of(kind, own or value or kind)
            names |= {name.upper()} & {"RECIPE", "WHAT"}
        elif tyro.conf.Positional in getattr(hint, "__metadata__", ()):
            names |= {part.metavar for part in hint.__metadata__ if hasattr(part, "metavar")}
        else:
            option = name.removeprefix("as_").replace("_", "-")
            names.add(f"no-{option}" if value is True else option)
    return names


def _sections(hint):
    """Yield the dataclasses that a type hint stands for: name, type and default value of each."""
    if typing.get_origin(hint) is typing.Union:
        for alternative in typing.get_args(hint):
            yield from _sections(alternative)
        return
    kind, parts = getattr(hint, "__origin__", hint), getattr(hint, "__metadata__", ())
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        names = [part.name for part in parts if hasattr(part, "name")]
        defaults = [part.default for part in parts if isinstance(part.default, kind)]
        yield "".join(names), kind, next(iter(defaults), None)


def _advice(name, known):
    """Return a sentence on what to type instead of `--name`."""
    if f"no-{name}" in known:
        return f"Drop it, since it is on by default; --no-{name} turns it off."
    if name.startswith("no-") and name.removeprefix("no-") in known:
        return "Drop it, since it is off by default."
    for sentence, names in ADVICE.items():
        if name in names.split() and set(re.findall("--([a-z-]+)", sentence)) <= known:
            return f"{sentence}."
    options = _meant(name, known)
    if not options:
        return "Drop it."
    if options[0].isupper():
        return f"Pass {options[0]} without the name of an option."
    return f"Did you mean {' or '.join(f'--{option}' for option in options)}?"


def _meant(name, known):
    """Return the arguments that `--name` may stand for, at most three of `known`."""
    others = {argument: NAMES.get(argument, "").split() for argument in sorted(known)}
    words = set(name.split("-"))
    return (
        [argument for argument, names in others.items() if name in names]
        or [o for o in others if words <= (own := set(o.split("-"))) or own <= words]
        or [o for o in others if difflib.get_close_matches(name, [o, *others[o]], cutoff=0.75)]
    )[:3]
