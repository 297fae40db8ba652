"""One training run: joins model, data, optimizer and callbacks around `model.fit`."""

import contextlib
import dataclasses

import keras
from keras import ops

import keras_mixer
from keras_mixer.variants import BY_NAME
from training import hosts
from training.arguments import refuse_unless
from training.checkpoints import Checkpoints
from training.config import SIZES
from training.curves import draw_curves
from training.data.cache import cached
from training.data.pipeline import evaluation_batches, steps_per_epoch, training_batches
from training.data.source import PARTS
from training.data.sources import load_source
from training.errors import UserError
from training.evaluation.accuracy import evaluate_accuracy
from training.failures import explained
from training.hardware_choice import find_hardware
from training.hosts.place import Place
from training.keeper import Keeper
from training.model_parallel import require_even_split
from training.optimization.averages import EvaluateAverages, put_averages
from training.optimization.duration import duration
from training.optimization.finiteness import Finiteness
from training.optimization.freezing import freeze, plain_model
from training.optimization.layer_decay import layer_scale
from training.optimization.loss import loss_function
from training.optimization.optimizer import optimizer
from training.optimization.replicas import draw_apart
from training.optimization.schedule import learning_rate_schedule
from training.optimization.sharpness_aware import sharpness_aware
from training.summary import summarize
from training.tensorboard import EpochTensorBoard


def train(config, folder, verbose="auto"):
    """Run the training that `config` describes in `folder`, or what is left of it.

    An interrupted run goes on where its newest checkpoint stands, and computes what it would have
    without the interruption; a finished one is left as it is.

    Args:
        config: A `training.config.Config`.
        folder: A `training.run_folder.RunFolder`.
        verbose: Keras's: "auto" for a progress bar, 2 for one line per epoch.

    Returns:
        The summary, as in `summary.json`.

    Raises:
        UserError: If the configuration or the folder cannot be used; nothing is written then.
        Interrupted: If a signal came; what was done until then is saved.
    """
    config.check()
    with hosts.ending_together():
        hardware = find_hardware(config.hardware)
        chosen = dataclasses.replace(config.hardware, precision=hardware.precision)
        config = dataclasses.replace(config, hardware=chosen)  # a run keeps its precision
        summary = hosts.from_first(lambda: _finished_summary(config, folder))
        if summary is None:
            with explained(config):
                summary = _train(config, folder, hardware, verbose)
        return summary


def _finished_summary(config, folder):
    """Return the summary of a run that is finished, or None; refuse the folder of another."""
    folder.refuse_other_run(config, keras.backend.backend())
    return folder.read_summary() if folder.is_finished() else None


def _train(config, folder, hardware, verbose):
    backend = keras.backend.backend()
    hardware.require_even_batches(config.data.batch_size)
    require_even_split(config.model, hardware.model_devices)
    keras.utils.set_random_seed(config.seed)
    source = load_source(config.data)
    source.require("train", config.data)
    source.require("test", config.data)
    _require_same_on_all_hosts(config, source)
    length = duration(config.optimization, steps_per_epoch(source.train, config.data))
    schedule = learning_rate_schedule(config.optimization, length.updates, config.data.batch_size)
    with hardware.scope():
        model = compiled_model(config, source, schedule)
    finiteness = Finiteness(schedule, length)

    source = cached(source, config.data)
    with contextlib.ExitStack() as stack:
        if hosts.is_first():
            stack.enter_context(folder.lock())
            folder.refuse_other_run(config, backend)  # which may have come meanwhile
            folder.write_config(config, backend)
            folder.write_skipped_images(source.skipped)
            print(hardware.describe(), flush=True)
        with hardware.scope():
            keeper = _fit(model, source, config, folder, hardware, length, finiteness, verbose)
            if config.optimization.ema_momentum:
                put_averages(model)
            model = plain_model(model)
        with hardware.scope_of_this_host():  # each tests its part by itself
            return _conclude(model, source, config, folder, hardware, keeper)


def _require_same_on_all_hosts(config, source):
    lengths = [len(getattr(source, part)) for part in PARTS]
    hosts.require_same(
        (
            dataclasses.replace(
                config, data=dataclasses.replace(config.data, data_dir="", cache_dir="")
            ),
            source.class_names,
            lengths,
        ),
        "The command",
        "be the same, and find the same images,",
        "Give all hosts the same.",
    )


def build_model(model, image_size, source):
    """Return the Mixer of a `training.config.Model` for a source's images; it gives logits.

    Its head is new, even over weights that have one for as many classes.

    Raises:
        UserError: If the weights are not this model's, are damaged or cannot be fetched.
    """
    constructor = keras_mixer.MlpMixer
    arguments = dataclasses.asdict(model) | {"weights": model.weights or None}
    del arguments["variant"], arguments["head_bias"]
    if model.variant:
        constructor = getattr(keras_mixer, BY_NAME[model.variant].constructor_name)
        for size in SIZES:
            del arguments[size]
    try:
        mixer = constructor(
            **arguments,
            input_shape=(image_size, image_size, source.channels),
            classes=len(source.class_names),
            classifier_activation=None,
        )
    except (ValueError, OSError) as error:
        if not model.weights:
            raise
        raise UserError(
            "--weights must be sound weights of this very model. "
            f"Received: {model.weights}. {error}"
        ) from error
    head = mixer.get_layer("head")
    head.kernel.assign(ops.zeros(head.kernel.shape))
    head.bias.assign(ops.full(head.bias.shape, model.head_bias))
    return mixer


def compiled_model(config, source, schedule):
    """Return the model of a `training.config.Config`, ready for `fit`.

    Args:
        config: The configuration.
        source: The `training.data.source.Source` of its images.
        schedule: Its `training.optimization.schedule.Schedule`.

    Raises:
        UserError: See `build_model`; or if more blocks are to be frozen than the variant has.
    """
    optimization = config.optimization
    if config.model.variant:
        num_blocks = BY_NAME[config.model.variant].num_blocks
        refuse_unless(
            optimization.frozen_blocks <= num_blocks,
            "frozen_blocks",
            f"must be at most the blocks of --variant {config.model.variant}, {num_blocks}",
            optimization.frozen_blocks,
            "Pass fewer.",
        )
    model = build_model(config.model, config.data.image_size, source)
    freeze(model, optimization)
    model = sharpness_aware(model, optimization.sam_rho)
    model.compile(
        optimizer=optimizer(optimization, schedule, layer_scale(model, optimization.layer_decay)),
        loss=loss_function(optimization),
        weighted_metrics=["accuracy"],  # of what fills up a validation nothing is counted
    )
    return model


def make_variables(model, classes):
    """Make the variables that Keras otherwise makes in the first step, so that they can be set."""
    model.optimizer.build(model.trainable_variables)
    nothing = ops.zeros((1, classes))
    model.compute_metrics(None, nothing, nothing)
    model.reset_metrics()


def _fit(model, source, config, folder, hardware, length, finiteness, verbose):
    """Train until the end, from where the run's newest checkpoint stands; return the `Keeper`."""
    checkpoints = Checkpoints(folder.checkpoints, config.checkpointing.keep_checkpoints)
    shard = hardware.data_shard()
    make_variables(model, len(source.class_names))
    progress = checkpoints.restore(model)
    draw_apart(model)
    keeper = Keeper(config, length, finiteness, checkpoints, progress, folder)
    callbacks = [
        *([EvaluateAverages()] if config.optimization.ema_momentum else []),
        keeper,
    ]
    if hosts.is_first():
        callbacks.append(EpochTensorBoard(folder.tensorboard, keeper.learning_rate))

    def distributed(batches):
        return hardware.distribute(batches, config.data.batch_size)

    validation = (
        distributed(evaluation_batches(source.validation, source, config.data, shard))
        if len(source.validation)
        else None
    )
    verbose = verbose if hosts.is_first() else 0
    with checkpoints, keeper:
        keeper.write_history()
        if progress.metrics is not None:
            keeper.finish_epoch(model, validation, callbacks, verbose)
        elif not length.ends_epoch(progress.batches):
            keeper.goes_on_within_an_epoch(model)
        for first, end, batches in length.stretches(progress.batches):
            start = keeper.progress.batches
            batches_from_start = training_batches(
                source, config.data, config.augmentation, config.seed, start, shard
            )
            model.fit(
                distributed(batches_from_start),
                validation_data=validation,
                steps_per_epoch=batches,
                initial_epoch=first,
                epochs=end,
                shuffle=False,  # the dataset shuffles
                verbose=verbose,
                callbacks=callbacks,
            )
            keeper.raise_if_interrupted()
    return keeper


def _conclude(model, source, config, folder, hardware, keeper):
    """Write the model and what it is worth; return the summary."""
    if hosts.count() > 1:
        model = _copy_of_this_host(model)
    if hosts.is_first():
        title = f"{folder.path.name}: {model.count_params():,} parameters on "
        with folder.room_for_results():
            model.save(folder.model)
            draw_curves(folder.history, folder.curves, title + keras.backend.backend())
    batch_size = hardware.evaluation_batch_size(config.data.batch_size)
    data = dataclasses.replace(config.data, batch_size=batch_size)
    shard = Place(hosts.index(), hosts.count())
    batches = evaluation_batches(source.test, source, data, shard)
    test = evaluate_accuracy(model, batches, config.optimization.loss)
    summary = summarize(model, test, source, hardware, keeper)
    if hosts.is_first():
        folder.write_summary(summary)
    return hosts.from_first(folder.read_summary)


def _copy_of_this_host(model):
    """Return a model with the weights that several hosts hold together."""
    weights = [hosts.whole(weight) for weight in model.weights]
    copy = type(model).from_config(model.get_config())
    copy.set_weights(weights)
    return copy
