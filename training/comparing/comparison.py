"""Comparison of runs: groups that differ in the seed only, and what differs between them."""

import dataclasses

from keras_mixer.sizes import SIZES
from training.comparing.compared_run import OUTCOMES, RESULTS, ComparedRun
from training.config import SIZE_FIELDS
from training.errors import UserError
from training.studies.verdicts import spread

ORDER_OF_UNFINISHED = "best_val_accuracy"


@dataclasses.dataclass(frozen=True)
class Group:
    """Finished runs that differ in the seed only; or one unfinished run, which has no mean.

    Args:
        runs: The `ComparedRun`s, in the order of their seeds.
    """

    runs: tuple[ComparedRun, ...]

    @property
    def is_finished(self):
        return self.runs[0].is_finished

    @property
    def seeds(self):
        return [run.seed for run in self.runs]

    @property
    def settings(self):
        """Options and conditions, which all its runs have in common."""
        return self.runs[0].options | self.runs[0].conditions

    def spread(self, result):
        """Return the `spread` of one of `RESULTS` over the runs that have it; None if none has."""
        known = [run.results[result] for run in self.runs if run.results[result] is not None]
        return spread(known) if known else None


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Groups of runs, the best first, and unfinished runs last.

    Args:
        metric: The one of `RESULTS` that orders the groups.
        groups: The `Group`s.
        differing: Names of the options and conditions that differ between the groups.
    """

    metric: str
    groups: tuple[Group, ...]
    differing: tuple[str, ...]

    def differences(self, group):
        """Return what distinguishes a group from the others: `{name: value}`."""
        return {name: group.settings[name] for name in self.differing if name in group.settings}

    def title(self, name):
        """Return the name of an option as it is typed, or that of a condition in words."""
        is_option = name in self.groups[0].runs[0].options
        return f"--{name.replace('_', '-')}" if is_option else name.replace("_", " ")

    def label(self, group):
        """Return the differences of a group as text, without those that follow from others."""
        parts = [
            f"{self.title(name)} {show(name, value)}"
            for name, value in self.differences(group).items()
            if name not in OUTCOMES
        ]
        return ", ".join(parts) or group.runs[0].path.name

    def entries(self):
        """Return the comparison as entries of JSON."""
        return {
            "metric": self.metric,
            "differing": list(self.differing),
            "groups": [
                {
                    "group": number,
                    "label": self.label(group),
                    "settings": self.differences(group),
                    "finished": group.is_finished,
                    "seeds": group.seeds,
                    **{name: group.spread(name) for name in RESULTS},
                }
                for number, group in enumerate(self.groups, 1)
            ],
            "runs": self.rows(),
        }

    def rows(self):
        """Return a row for each run, all with the same columns."""
        runs = [(number, run) for number, group in enumerate(self.groups, 1) for run in group.runs]
        conditions = dict.fromkeys(name for _, run in runs for name in run.conditions)
        options = [name for name in self.differing if name not in conditions]
        return [
            {
                "run": str(run.path),
                "group": number,
                "seed": run.seed,
                "finished": run.is_finished,
                "epochs": run.epochs,
                **run.results,
                **{name: run.options.get(name) for name in options},
                **conditions,
                **run.conditions,
                "steps": run.steps,
            }
            for number, run in runs
        ]


def compare(runs, metric):
    """Return the `Comparison` of `ComparedRun`s.

    Args:
        runs: The runs, at least one.
        metric: The one of `RESULTS` that orders them.

    Raises:
        UserError: If two of them are the same run.
    """
    _refuse_same(runs)
    groups: dict = {}
    for run in sorted(runs, key=lambda run: run.seed):
        settings = frozenset((run.options | run.conditions).items())
        groups.setdefault(settings if run.is_finished else run.path, []).append(run)
    ordered = [Group(tuple(own)) for own in groups.values()]
    ordered.sort(key=lambda group: _order(group, metric))
    return Comparison(metric, tuple(ordered), tuple(_differing(runs)))


def show(name, value):
    """Return the value of an option or a condition as text."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if name in OUTCOMES else str(value) or "–"


def _refuse_same(runs):
    """Raise UserError if two runs are the same one, or copies of it."""
    known: dict = {}
    for run in runs:
        identity = run.run_id or run.path.resolve()
        if identity in known:
            other = known[identity]
            received, advice = f"{run.path} twice", "Pass it once, or a folder with it"
            if run.path.resolve() != other.path.resolve():
                received = f"{other.path} and {run.path}, which are copies of one run"
                advice = "Leave one of them out"
            raise UserError(f"RUN... must be different runs. Received: {received}. {advice}.")
        known[identity] = run


def _order(group, metric):
    """Return the key that sorts groups: finished ones first, then by the mean, the best first."""
    name = metric if group.is_finished else ORDER_OF_UNFINISHED
    values = group.spread(name)
    if values is None:
        return not group.is_finished, True, 0
    smaller_is_better = name.endswith(("_loss", "_seconds"))
    return not group.is_finished, False, values["mean"] if smaller_is_better else -values["mean"]


def _differing(runs):
    """Return the names of the options and the conditions that differ, options first.

    A run that does not have a condition, because it is not finished, does not differ in it.
    """
    options = dict.fromkeys(name for run in runs for name in run.options)
    conditions = dict.fromkeys(name for run in runs for name in run.conditions)
    settings = [run.options | run.conditions for run in runs]
    names = [
        name
        for name in options | conditions
        if len({own[name] for own in settings if name in own}) > 1
    ]
    if all(_has_size_of_variant(run.options) for run in runs):
        names = [name for name in names if name not in SIZE_FIELDS]  # the variant says it
    return names


def _has_size_of_variant(options):
    size = SIZES.get(options["variant"])
    return size is not None and size.dimensions.items() <= options.items()
