"""One training run: validate, load, compile, fit, write the results."""

import contextlib
import dataclasses

import keras

from training.data.cache import cached
from training.data.changed_files import changed_files_as_user_errors
from training.data.pipeline import steps_per_epoch
from training.data.sources import load_source
from training.data.split_names import SPLITS
from training.devices import hosts
from training.devices.model_parallel import require_even_split
from training.devices.selection import find_distribution
from training.keras_workarounds.replica_seeds import decorrelate_replica_seeds
from training.model import check_weights
from training.optimization.duration import duration
from training.optimization.ema import apply_ema
from training.optimization.freezing import plain_model
from training.optimization.schedule import learning_rate_schedule
from training.run.checkpoints import Checkpoints
from training.run.compiled_model import compiled_model, make_variables, uses_xla
from training.run.failures import training_out_of_memory_as_user_error
from training.run.fitting import fit
from training.run.ongoing import OngoingRun
from training.run.progress import RunProgress, require_same_epochs
from training.run.results import write_results

RESUME = "The same command resumes from the last checkpoint."


def train(config, folder, verbose="auto", trust_model=False):
    """Run the training that `config` describes in `folder`, or resume it.

    An interrupted run resumes from its newest checkpoint, and its result is bitwise identical to
    that of a run without the interruption; a finished one is left unchanged.

    Args:
        config: A `training.config.Config`.
        folder: A `training.run.folder.RunFolder`.
        verbose: Keras's: "auto" for a progress bar, 2 for one line per epoch.
        trust_model: Whether a `.keras` file of `--weights` may execute what it names.

    Returns:
        The summary, as in `summary.json`.

    Raises:
        UserError: If the configuration or the folder is invalid; then nothing is written.
        Interrupted: If a signal came; the state is saved.
    """
    config.check()
    with hosts.exit_on_failure():
        hardware = find_distribution(config.hardware)
        chosen = dataclasses.replace(config.hardware, precision=hardware.precision)
        config = dataclasses.replace(config, hardware=chosen)  # a run keeps its precision
        summary = hosts.from_first(lambda: _finished_summary(config, folder))
        if summary is None:
            with training_out_of_memory_as_user_error(config):
                source = _load(config, hardware)
                with changed_files_as_user_errors(source, RESUME):
                    summary = _train(config, folder, source, hardware, verbose, trust_model)
        return summary


def _finished_summary(config, folder):
    """Return the summary of a finished run, or None; refuse the folder of another run."""
    folder.refuse_other_run(config, keras.backend.backend())
    return folder.read_summary() if folder.is_finished() else None


def _train(config, folder, source, hardware, verbose, trust_model):
    length = duration(config.optimization, steps_per_epoch(source.train, config.data))
    schedule = learning_rate_schedule(config.optimization, length.updates, config.data.batch_size)
    with hardware.scope():
        model = compiled_model(config, source, schedule, trust_model)
    source = cached(source, config.data)
    with contextlib.ExitStack() as stack:
        if hosts.is_first():
            stack.enter_context(folder.lock())
            folder = _begin(config, folder, source)
            print(hardware.describe(xla=uses_xla(model)), flush=True)
        with hardware.scope():
            keep = config.checkpointing.keep_checkpoints
            checkpoints = Checkpoints(folder.checkpoints, keep, folder.identity)
            make_variables(model, len(source.class_names))
            state = checkpoints.restore(model)
            require_same_epochs(state, length)
            decorrelate_replica_seeds(model)
            progress = RunProgress(state, length, schedule, config.data.batch_size)
            run = OngoingRun(config, folder, checkpoints, progress)
            fit(run, model, source, hardware, verbose)
            if config.optimization.ema_momentum:
                apply_ema(model)
            model = plain_model(model)
        with hardware.scope_of_this_host():  # each host evaluates a shard
            return write_results(run, model, source, hardware)


def _load(config, hardware):
    """Return the `Source` of the run's images; refuse what cannot be trained on."""
    hardware.require_even_batches(config.data.batch_size)
    require_even_split(config.model, hardware.model_devices)
    keras.utils.set_random_seed(config.seed)
    check_weights(config.model)
    source = load_source(config.data)
    source.require("train", config.data)
    source.require("test", config.data)
    _require_same_on_all_hosts(config, source)
    return source


def _begin(config, folder, source):
    """Write the files of a run that are there from its start; return its folder."""
    backend = keras.backend.backend()
    folder.refuse_other_run(config, backend)  # of a process that started in the meantime
    folder.refuse_other_classes(source.class_names)
    folder = folder.write_config(config, backend)
    folder.write_class_names(source.class_names)
    folder.write_skipped_images(source.skipped)
    return folder


def _require_same_on_all_hosts(config, source):
    lengths = [len(getattr(source, split)) for split in SPLITS]
    data = dataclasses.replace(config.data, data_dir="", cache_dir="")  # free to differ
    hosts.require_same(
        (dataclasses.replace(config, data=data), source.class_names, lengths),
        "The command",
        "be the same, and find the same images,",
        "Give all hosts the same.",
    )
