"""`python -m training study`: experiments of the paper."""

from typing import Annotated

import tyro

from training.backend import require_backend
from training.cli.studies.cost import Cost
from training.cli.studies.robustness import Robustness
from training.cli.studies.training import Comparison, DataScaling, Permutations, Variations
from training.cli.studies.weights import Weights


def run(
    what: Annotated[Comparison, tyro.conf.subcommand("comparison")]
    | Annotated[Permutations, tyro.conf.subcommand("permutations")]
    | Annotated[DataScaling, tyro.conf.subcommand("data-scaling")]
    | Annotated[Variations, tyro.conf.subcommand("variations")]
    | Annotated[Weights, tyro.conf.subcommand("weights")]
    | Annotated[Cost, tyro.conf.subcommand("cost")]
    | Annotated[Robustness, tyro.conf.subcommand("robustness")],
):
    """Repeat the experiments of the paper on any data; `study WHAT --help` lists the options.

    Studies that train consist of ordinary run folders, and the same command resumes them.
    """
    what.check()
    require_backend()
    what.run()
