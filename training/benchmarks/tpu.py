"""A training step on TPUs, ours and Flax's, compared by the compiler: nothing is executed."""

import dataclasses
import importlib.metadata

import jax
import keras
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

import keras_mixer
from keras_mixer.sizes import SIZES
from training.benchmarks.opponents.flax import Mixer
from training.benchmarks.opponents.task import LEARNING_RATE, MOMENTUM
from training.config import Config, Data
from training.errors import UserError
from training.planning.footprint import Footprint
from training.planning.step import footprint_of, lower_train_step, without_values

IMAGE_SIZE = 224
CLASSES = 1000


@dataclasses.dataclass(frozen=True)
class TpuComparison:
    """Memory and compute per chip of an SGD step in bfloat16; variables are float32.

    Args:
        variant: A variant of the paper, such as "B/16".
        topology: The chips, such as "v5e:2x2".
        batch_size: Images per step, over all chips.
        ours: `Footprint` of this model.
        rematerialized: `Footprint` of this model with `rematerialize=True`.
        flax: `Footprint` of Flax's model.
        flops_to_flax: FLOPs of ours divided by those of Flax.
        moved_bytes_to_flax: The same for the bytes moved between chip and memory.
        temporary_bytes_to_flax: The same for the temporaries.
        temporary_bytes_rematerialized: Temporaries of ours, with rematerialization to without.
        versions: Versions of the packages that matter.
    """

    variant: str
    topology: str
    batch_size: int
    ours: Footprint
    rematerialized: Footprint
    flax: Footprint
    flops_to_flax: float
    moved_bytes_to_flax: float
    temporary_bytes_to_flax: float
    temporary_bytes_rematerialized: float
    versions: dict[str, str]


def measure(variant, target, batch_size):
    """Compile the step of each model and return a `TpuComparison`.

    All compute an SGD step with momentum on float32 images in [-1, 1] and class indices, with the
    mean cross-entropy of the logits, without dropout, and return the loss.

    Args:
        variant: A variant of the paper, such as "B/16".
        target: A `training.planning.topology.Topology`.
        batch_size: Images per step, over all chips.

    Raises:
        UserError: If a batch does not fit in the memory of the chips.
    """
    distribution = target.distribution(Config(data=Data(batch_size=batch_size)))
    batch = (
        jax.ShapeDtypeStruct((batch_size, IMAGE_SIZE, IMAGE_SIZE, 3), "float32"),
        jax.ShapeDtypeStruct((batch_size,), "int32"),
    )
    steps = {
        "flax": lambda: _lower_flax(variant, batch, target.devices),
        "ours": lambda: _lower_ours(variant, batch, distribution, rematerialize=False),
        "rematerialized": lambda: _lower_ours(variant, batch, distribution, rematerialize=True),
    }
    footprints = {}
    for name, lower in steps.items():
        footprints[name] = footprint_of(lower, batch, distribution.replicas)
        if not footprints[name].fits:
            raise UserError(
                f"--batch-size must fit in the memory of the chips. Received: {batch_size}, which "
                f"does not ({name}). Pass a smaller one."
            )

    def ratio(field, name="ours", other="flax"):
        return getattr(footprints[name], field) / getattr(footprints[other], field)

    return TpuComparison(
        variant,
        target.name,
        batch_size,
        **footprints,
        flops_to_flax=ratio("flops"),
        moved_bytes_to_flax=ratio("moved_bytes"),
        temporary_bytes_to_flax=ratio("temporary_bytes"),
        temporary_bytes_rematerialized=ratio("temporary_bytes", "rematerialized", "ours"),
        versions={
            name: importlib.metadata.version(name)
            for name in ("libtpu", "jax", "keras", "flax", "optax")
        },
    )


def _lower_ours(variant, batch, distribution, rematerialize):
    def build():
        model = getattr(keras_mixer, SIZES[variant].constructor_name)(
            weights=None,
            input_shape=(IMAGE_SIZE, IMAGE_SIZE, 3),
            classes=CLASSES,
            classifier_activation=None,
            include_preprocessing=False,
            rematerialize=rematerialize,
        )
        model.compile(
            keras.optimizers.SGD(LEARNING_RATE, momentum=MOMENTUM),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        )
        model.optimizer.build(model.trainable_variables)
        return model

    with distribution.scope():
        return lower_train_step(without_values(build), batch, distribution.devices[0])


def _lower_flax(variant, batch, devices):
    size = SIZES[variant]
    model = Mixer(
        **{**size.dimensions, "patch_size": (size.patch_size, size.patch_size)},
        classes=CLASSES,
        dtype="bfloat16",
    )
    optimizer = optax.sgd(LEARNING_RATE, MOMENTUM)

    def step(state, batch):
        variables, optimizer_state = state
        images, labels = batch

        def loss(variables):
            logits = model.apply(variables, images)
            return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

        value, gradients = jax.value_and_grad(loss)(variables)
        updates, optimizer_state = optimizer.update(gradients, optimizer_state)
        return value, (optax.apply_updates(variables, updates), optimizer_state)

    mesh = Mesh(np.array(devices), ("batch",))

    def with_sharding(tree, *axes):
        sharding = NamedSharding(mesh, PartitionSpec(*axes))
        return jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding), tree
        )

    variables = jax.eval_shape(model.init, jax.random.key(0), batch[0])
    state = with_sharding((variables, jax.eval_shape(optimizer.init, variables)))
    shardings = jax.tree.map(lambda leaf: leaf.sharding, state)
    compiled = jax.jit(step, donate_argnums=0, out_shardings=(None, shardings))
    return compiled.lower(state, with_sharding(batch, "batch"))
