"""Options of the study of learned weights."""

import dataclasses
import json
from pathlib import Path

from rich.table import Table

from keras_mixer.terminal import printable
from training.cli.model_options import ModelText, read_model_options
from training.cli.terminal import JsonFlag, print_rich, print_table
from training.validation import not_writable, refuse_unless, require_output_dir


@dataclasses.dataclass(frozen=True)
class Weights:
    """Draw the learned weights: hidden units of token mixing, stem, and their change in a run.

    `study weights MixerB16:imagenet21k` draws figures 5 and 7, and a column of figure 6, of the
    paper from published weights. Each hidden unit is beside its closest inverse, and the pairs are
    compared to controls.
    """

    model: ModelText
    """Model to study: a run (RUN, RUN@best, RUN@step-1200), a file FILE.keras, or a constructor and
    its weights (MixerB16:imagenet21k, MixerB16:FILE.npz). RUN shows the change over its checkpoints
    as well."""

    blocks: tuple[int, ...] = ()
    """Numbers of the blocks to draw. Defaults to the first three."""

    output_dir: Path = Path("studies/weights")
    """Folder for the figures, results.json and units.csv."""

    trust_model: bool = False
    """Load a .keras file that has more than a Mixer and layers of Keras that only compute, such as
    a Lambda layer. What such a file names is executed with your rights."""

    as_json: JsonFlag = False
    """Print JSON instead of a table."""

    def check(self):
        self._check_blocks(min(self.blocks, default=0) >= 0, "must be numbers from 0")
        self._check_blocks(len(set(self.blocks)) == len(self.blocks), "must name each block once")
        read_model_options(self.model, "")
        require_output_dir(self.output_dir)

    def _check_blocks(self, holds, rule):
        received = " ".join(map(str, self.blocks))
        refuse_unless(holds, "blocks", rule, received, "Pass 0, for example.")

    def run(self):
        from training.model_argument import load_model
        from training.studies import weights as study
        from training.studies.hidden_units import judge_pairs, study_units

        argument, _ = read_model_options(self.model, "")
        weights = study.read_weights(load_model(argument, trusted=self.trust_model).model)
        number = len(weights.kernels)
        rule = f"must be below {number}, the number of blocks of the model"
        self._check_blocks(max(self.blocks, default=0) < number, rule)
        blocks = self.blocks or range(min(3, number))
        units = {i: study_units(weights.kernels[i], weights.grid) for i in blocks}
        results = [judge_pairs(of_block, i) for i, of_block in units.items()]
        steps = study.checkpoint_steps(argument)
        changes = []
        if len(steps) > 1:
            changes = study.measure_changes(study.read_checkpoints(argument, steps))
        try:
            self._report(weights, units, results, changes)
        except OSError as error:
            raise not_writable(self.output_dir, error) from error

    def _report(self, weights, units, results, changes):
        """Write the figures and the results, and print the results."""
        from training.run.json_file import write_json
        from training.studies import weights_figure as figure
        from training.studies.hidden_units import mean_frequencies, write_csv

        folder, title = self.output_dir, printable(self.model)
        for result in results:
            path = folder / f"tokens_block_{result.block}.png"
            figure.draw_units(units[result.block], result, title, path)
        figure.draw_stem(weights.stem, title, folder / "stem.png")
        if changes:
            figure.draw_changes(changes, title, folder / "changes.png")
        write_csv(units, folder / "units.csv")
        height, width, _, filters = weights.stem.shape
        frequencies = mean_frequencies(weights.stem.transpose(3, 0, 1, 2))
        entries = {
            "model": self.model,
            "grid": weights.grid,
            "blocks": list(map(dataclasses.asdict, results)),
            "stem": {
                "patch_size": [height, width],
                "filters": filters,
                "mean_frequency": float(frequencies.mean()),
            },
            "changes": list(map(dataclasses.asdict, changes)),
        }
        write_json(folder / "results.json", entries)
        if self.as_json:
            print(json.dumps(entries, indent=2))
        else:
            _print_results(results, folder)


def _print_results(results, folder):
    from training.studies.hidden_units import MARGIN, PERCENTILE

    table = Table("block", "units", "mean frequency", "mean cosine", "by chance", "pairs")
    for r in results:
        numbers = (r.mean_frequency, r.mean_cosine, max(r.controls.values()))
        table.add_row(str(r.block), str(r.units), *(f"{x:.3f}" for x in numbers), r.verdict)
    print_rich(table)
    print(
        "Cosine of each unit and its negated partner: 1 for exact inverses.\nPairs are reproduced "
        f"if its mean is above chance by more than {MARGIN}.\nChance is the largest {PERCENTILE}th "
        "percentile of the controls in results.json."
    )
    print_table({"results": folder / "results.json", "figures": folder})
