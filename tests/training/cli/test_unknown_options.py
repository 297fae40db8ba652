"""What is suggested for options that a command does not have."""

import re

import pytest

from training.__main__ import PROGRAM, find_commands
from training.cli import unknown_options
from training.cli.unknown_options import refuse_unknown_options
from training.errors import UserError

pytestmark = pytest.mark.backend("torch")  # the command line is parsed alike under every backend

COMMANDS = find_commands()


def suggestion(*arguments):
    """Return the sentence of the message that says what to do."""
    with pytest.raises(UserError) as caught:
        refuse_unknown_options(arguments, COMMANDS, PROGRAM)
    return re.search(r"Received: \S+ (.*) The options are listed", str(caught.value))[1]


@pytest.mark.parametrize(
    "command, typed, expected",
    [
        ("train tiny", "--epochs", "--total-epochs?"),
        ("train tiny", "--epochs=3", "--total-epochs?"),
        ("train tiny", "--num_epochs", "--total-epochs?"),
        ("train tiny", "-e", "--total-epochs?"),
        ("train tiny", "--total-epoch", "--total-epochs?"),
        ("train tiny", "--lr", "--learning-rate?"),
        ("train tiny", "--learningrate", "--learning-rate?"),
        ("train tiny", "--batch", "--batch-size?"),
        ("train tiny", "--batchsize", "--batch-size?"),
        ("train tiny", "--model", "--variant?"),
        ("train tiny", "--data", "--source?"),
        ("train tiny", "--dataset", "--source?"),
        ("train tiny", "--steps", "--total-steps?"),
        ("train tiny", "--output", "--run-dir?"),
        ("train tiny", "--output-dir", "--run-dir?"),
        ("train tiny", "--name", "--run-dir?"),
        ("train tiny", "--gpus", "--devices?"),
        ("train tiny", "--device", "--devices?"),
        ("train tiny", "--checkpoint", "--weights?"),
        ("train tiny", "--pretrained", "--weights?"),
        ("train tiny", "--mixup", "--mixup-alpha?"),
        ("train tiny", "--size", "--image-size?"),
        ("train tiny", "--wd", "--weight-decay?"),
        ("train tiny", "--amp", "--precision?"),
        ("train tiny", "--workers", "Drop it: the data is loaded with all cores."),
        ("train tiny", "--resume", "Drop it: the same command resumes the run in --run-dir."),
        ("train tiny", "--backend", "Set the environment variable KERAS_BACKEND."),
        ("train tiny", "--num-classes", "Drop it: the classes are those of --source."),
        ("train tiny", "--no-such-thing", "Drop it."),
        ("train tiny", "--deterministic", "Drop it, since it is on by default; --no-determinis"),
        ("train tiny", "--no-flip", "Drop it, since it is off by default."),
        ("train imagenet-b16", "--flip", "Drop it, since it is on by default; --no-flip turns "),
        ("train", "--recipe", "Pass RECIPE without the name of an option."),
        ("show tiny", "--output", "--output-dir?"),
        ("show tiny", "--resume", "Drop it."),
        ("plan tiny", "--epochs", "--total-epochs?"),
        ("plan tiny", "--chips", "Drop it."),
        ("evaluate run", "--model", "Pass MODEL without the name of an option."),
        ("evaluate run", "--checkpoint", "Pass MODEL without the name of an option."),
        ("evaluate run", "--data", "--source?"),
        ("evaluate run", "--batch", "--batch-size?"),
        ("evaluate run", "--epochs", "Drop it."),
        ("predict run", "--image", "Pass IMAGE... without the name of an option."),
        ("predict run", "--top-k", "--top?"),
        ("predict run", "--classes", "--class-names?"),
        ("benchmark loading", "--batch", "Drop it."),
        ("benchmark training", "--batch", "--batch-size?"),
        ("benchmark data", "--model", "Drop it."),
    ],
)
def test_the_right_argument_is_suggested(command, typed, expected):
    said = suggestion(*command.split(), typed, "3")
    assert said.startswith(f"Did you mean {expected}" if expected.startswith("--") else expected)


@pytest.mark.parametrize(
    "arguments",
    [
        "train tiny --learning_rate 1 --no-deterministic --flip --head-bias -1 -h",
        "train tiny --learning_rate 1 --no-deterministic --flip --head-bias -1",
        "train imagenet-b16 --no-flip",
        "plan tiny --tpu=v5e:1x1 --no-search --json",
        "predict run -image.png --json",
        "benchmark data --batches 2",
        "--epochs 3",
        "no_such_command --epochs 3",
        "",
    ],
)
def test_other_arguments_are_left_to_the_parser(arguments):
    refuse_unknown_options(arguments.split(), COMMANDS, PROGRAM)


def test_what_is_suggested_exists():
    known = set().union(*(unknown_options._arguments_of(run, run) for run in COMMANDS.values()))
    advised = {o for text in unknown_options.ADVICE for o in re.findall("--([a-z-]+)", text)}
    assert advised | unknown_options.NAMES.keys() <= known


def test_the_command_that_lists_the_options_works(call):
    status, out, err = call("train", "digits", "--epochs", "3")
    assert (status, out) == (2, "")
    assert err.startswith("error: Options must be those of `train`. Received: --epochs. ")
    listed = re.search(f"`{PROGRAM} ([^`]* --help)`", err)[1]
    assert listed == "train digits --help" and call(*listed.split())[0] == 0
