"""`python -m training fewshot`: linear few-shot accuracy of frozen features."""

import dataclasses
import json
from typing import Literal

from rich.table import Table
from tqdm import tqdm

from training.cli.probe_options import ProbeOptions, read_probe_data
from training.cli.terminal import print_rich, print_table
from training.run.csv_file import write_csv
from training.run.json_file import write_json
from training.validation import LARGEST_INTEGER, not_writable, refuse_unless


def run(
    data: ProbeOptions,
    shots: tuple[int, ...] = (1, 5, 10, 25),
    seeds: int = 3,
    penalty: Literal["fixed", "cross-validation"] = "fixed",
    full: bool = False,
):
    """Fit linear probes to a few images of each class, and test them.

    This is the few-shot protocol of the paper: features without the head, standardized, and ridge
    regression to targets of 1 and -1, in closed form. The command
    `fewshot MixerB16:imagenet21k --source fewshot-imagenet` measures published weights on ImageNet.

    Args:
        data: The model, and the images that it is used on.
        shots: Numbers of training images of each class.
        seeds: Number of draws of the images for each number of shots: seeds 0, 1 and so on.
        penalty: Strength of the regularization: 2^10, as in the published evaluations, or the best
            of 2^-10 to 2^19 in cross-validation on the drawn images.
        full: Also fit a probe to all training images, with the penalty 2^10.
    """
    refuse_unless(
        bool(shots) and all(0 < number <= LARGEST_INTEGER for number in shots),
        "shots",
        "must be one or more numbers above 0",
        " ".join(map(str, shots)) or "none",
        "Pass 1 5 10 25, for example.",
    )
    refuse_unless(
        0 < seeds <= 1000, "seeds", "must be at least 1 and at most 1000", seeds, "Pass 3."
    )
    shots = tuple(sorted(set(shots)))

    def check(source):
        labels = getattr(source.train, "labels", None)  # unknown if it can only be read in order
        if labels is not None:
            from training.evaluation.shots import require_shots

            require_shots(labels, len(source.class_names), shots[-1])

    features = read_probe_data(data, "fewshot", check)

    from training.evaluation.fewshot import measure_fewshot, measure_full

    classes = len(features.class_names)
    arguments = (features.train, features.test, classes)
    drawn = measure_fewshot(*arguments, shots, range(seeds), penalty == "cross-validation")
    disable = True if data.as_json else None  # None: unless stderr is a terminal
    total = len(shots) * seeds
    probes = list(tqdm(drawn, "fitting", total, unit="probe", disable=disable))
    if full:
        probes.append(measure_full(*arguments))
    _report(probes, features, data)


def _report(probes, features, options):
    """Write the results, and print them."""
    from training.evaluation.fewshot import draw_fewshot, summarize

    means = summarize(probes)
    results = {
        "model": options.model,
        **features.entries,
        "summary": list(map(dataclasses.asdict, means)),
        "probes": list(map(dataclasses.asdict, probes)),
    }
    folder = features.folder
    try:
        write_json(folder / "fewshot.json", results)
        write_csv(folder / "fewshot.csv", results["probes"])
        draw_fewshot(probes, f"{options.model} on {features.data.source}", folder / "fewshot.png")
    except OSError as error:
        raise not_writable(folder, error) from error
    if options.as_json:
        print(json.dumps(results, indent=2))
        return
    table = Table("shots", "accuracy", "standard deviation", "probes")
    for mean in means:
        number = sum(probe.shots == mean.shots for probe in probes)
        stddev = "" if mean.stddev is None else f"{mean.stddev:.4f}"
        table.add_row(str(mean.shots or "all"), f"{mean.mean:.4f}", stddev, str(number))
    print_rich(table)
    print_table({"results": folder / "fewshot.json", "figure": folder / "fewshot.png"})
