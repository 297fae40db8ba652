"""The configuration: its fields, their checks and their help."""

import ast
import dataclasses
import inspect
import itertools
import json
import re
import typing
from pathlib import Path

import pytest

import keras_mixer
from keras_mixer.sizes import SIZES
from training.config import (
    SIZE_FIELDS,
    Augmentation,
    Checkpointing,
    Config,
    Data,
    Hardware,
    Model,
    Optimization,
    Variant,
)
from training.config.serialization import ADDED, from_entries, to_entries, upgrade
from training.errors import UserError
from training.recipes import RECIPES

pytestmark = pytest.mark.backend("torch")  # needs no backend

PARTS = (Data, Augmentation, Model, Optimization, Checkpointing, Hardware)


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_are_valid(name):
    assert isinstance(RECIPES[name].CONFIG, Config)
    RECIPES[name].CONFIG.check()
    assert RECIPES[name].__doc__


@pytest.mark.parametrize(
    "part, field, value, message",
    [
        ("data", "image_size", 0, "--image-size must be above 0 and finite, a 32-bit "),
        ("data", "batch_size", -1, "--batch-size must be above 0"),
        ("hardware", "devices", -1, "--devices must be at least 0. Received: -1. Pass 0 for all"),
        ("data", "validation_fraction", 1.0, "--validation-fraction must be at least 0 and below"),
        ("data", "test_fraction", -0.1, "--test-fraction must be at least 0 and below"),
        ("data", "train_fraction", 0.0, "--train-fraction must be above 0 and at most 1. Received"),
        ("data", "train_fraction", 1.1, "--train-fraction must be above 0 and at most 1. Received"),
        ("data", "cache", "disk", "--cache-dir must name a folder with --cache disk"),
        ("augmentation", "shift_fraction", -0.1, "--shift-fraction must be at least 0 and below 1"),
        ("augmentation", "rotation_degrees", -1, "--rotation-degrees must be at least 0"),
        ("augmentation", "zoom_fraction", 1, "--zoom-fraction must be at least 0 and below 1"),
        ("augmentation", "randaugment_magnitude", -1, "--randaugment-magnitude must be at least"),
        ("augmentation", "randaugment_layers", 0, "--randaugment-layers must be above 0"),
        ("augmentation", "augmix_severity", 11, "--augmix-severity must be at least 0 and at most"),
        ("augmentation", "color_jitter", 1, "--color-jitter must be at least 0 and below 1"),
        ("augmentation", "hue_jitter", 0.6, "--hue-jitter must be at least 0 and at most 0.5"),
        ("augmentation", "cutout_fraction", -0.1, "--cutout-fraction must be at least 0 and below"),
        (
            "augmentation",
            "erasing_probability",
            1.1,
            "--erasing-probability must be at least 0 and",
        ),
        ("augmentation", "mixup_alpha", float("inf"), "--mixup-alpha must be at least 0 and fin"),
        ("augmentation", "cutmix_alpha", -1, "--cutmix-alpha must be at least 0 and finite"),
        ("augmentation", "mix_probability", float("nan"), "--mix-probability must be at least 0"),
        (
            "model",
            "patch_size",
            3,
            "--image-size must be a multiple of the patch size, 3. Rec",
        ),
        ("model", "patch_size", 0, "--patch-size must be above 0"),
        ("model", "hidden_dim", 0, "--hidden-dim must be above 0"),
        ("model", "num_blocks", 0, "--num-blocks must be above 0"),
        ("model", "tokens_mlp_dim", 0, "--tokens-mlp-dim must be above 0"),
        ("model", "channels_mlp_dim", 0, "--channels-mlp-dim must be above 0"),
        ("model", "head_bias", float("inf"), "--head-bias must be finite. Received: inf"),
        ("model", "variant", "B/16", "--image-size must be a multiple of the patch size, 16 with"),
        ("model", "drop_path_rate", 1.0, "--drop-path-rate must be at least 0 and below 1"),
        ("model", "dropout_rate", float("nan"), "--dropout-rate must be at least 0 and below 1"),
        ("optimization", "total_epochs", 0, "--total-epochs must be above 0"),
        ("optimization", "learning_rate", float("nan"), "--learning-rate must be above 0"),
        ("optimization", "warmup_steps", -1, "--warmup-steps must be at least 0"),
        ("optimization", "weight_decay", -0.1, "--weight-decay must be at least 0"),
        ("optimization", "clip_global_norm", -1, "--clip-global-norm must be at least 0"),
        ("optimization", "label_smoothing", 1.0, "--label-smoothing must be at least 0 and below"),
        ("optimization", "total_steps", -1, "--total-steps must be at least 0 and finite"),
        ("optimization", "reference_batch_size", -1, "--reference-batch-size must be at least 0"),
        ("optimization", "momentum", 1.0, "--momentum must be at least 0 and below 1"),
        ("optimization", "accumulation_steps", 0, "--accumulation-steps must be above 0"),
        ("optimization", "ema_momentum", 1.0, "--ema-momentum must be at least 0 and below 1"),
        ("optimization", "frozen_blocks", -1, "--frozen-blocks must be at least 0"),
        ("optimization", "frozen_blocks", 5, "--frozen-blocks must be at most the number of bl"),
        ("optimization", "layer_decay", 0.0, "--layer-decay must be above 0"),
        ("optimization", "layer_decay", 1.1, "--layer-decay must be at most 1. Received: 1.1"),
        ("optimization", "sam_rho", float("inf"), "--sam-rho must be at least 0 and finite"),
        ("checkpointing", "checkpoint_minutes", -1.0, "--checkpoint-minutes must be at least 0"),
        ("checkpointing", "checkpoint_steps", -1, "--checkpoint-steps must be at least 0"),
        ("checkpointing", "keep_checkpoints", 0, "--keep-checkpoints must be above 0"),
        ("data", "batch_size", 10**30, "--batch-size must be above 0 and finite, a 32-bit number"),
        ("data", "image_size", 10**30, "--image-size must be above 0 and finite"),
        ("optimization", "total_steps", 10**30, "--total-steps must be at least 0 and finite"),
        ("optimization", "learning_rate", 1e39, "--learning-rate must be above 0 and finite"),
        ("augmentation", "randaugment_magnitude", 3e38, "--randaugment-magnitude must be at"),
        ("augmentation", "randaugment_layers", 17, "--randaugment-layers must be at least 0 and"),
        ("model", "head_bias", -1e39, "--head-bias must be finite. Received: -1e+39"),
        ("model", "num_blocks", 1001, "--num-blocks must be at most 1000"),
        ("model", "hidden_dim", 10**9, "--hidden-dim and the other sizes must give at most 10,000"),
        ("model", "tokens_mlp_dim", 2**31 - 1, "--hidden-dim and the other sizes must give"),
        ("data", "image_size", 10**6, "--hidden-dim and the other sizes must give at most"),
    ],
)
def test_invalid_values_are_refused(part, field, value, message):
    assert hasattr(getattr(Config(), part), field)
    with pytest.raises(UserError) as error:
        Config().vary(**{field: value}).check()
    assert str(error.value).startswith(message)
    assert f"Received: {'nothing' if field == 'cache' else ''}" in str(error.value)
    if example := re.search(r"^--(\S+) .* Pass (\S+), for example", str(error.value)):
        option, number = example[1].replace("-", "_"), float(example[2])
        fields = {field: value} | {option: int(number) if number.is_integer() else number}
        Config().vary(**fields).check()  # what the message advises works


def test_the_bound_counts_the_parameters_of_the_model():
    published = {"S/32": 18_591_624, "B/16": 59_111_472, "H/14": 431_069_952}  # without head
    for variant, parameters in published.items():
        assert Model(variant=variant).num_parameters(224) == parameters


def test_frozen_blocks_and_a_frozen_body_exclude_each_other():
    with pytest.raises(UserError, match="--frozen-blocks must be 0 with --freeze body"):
        Optimization(freeze="body", frozen_blocks=1).check()


def of_variant(variant, image_size, **fields):
    return Config(data=Data(image_size=image_size), model=Model(variant=variant, **fields))


@pytest.mark.parametrize("name", SIZE_FIELDS)
def test_a_size_given_beside_a_variant_overrides_it(name):
    assert Model(variant="B/16").size == SIZES["B/16"]
    config = of_variant("B/16", 7 * 16, **{name: 7})
    config.check()
    assert config.model.size == dataclasses.replace(SIZES["B/16"], **{"name": "", name: 7})
    option = "--" + name.replace("_", "-")
    for model in (Model(variant="B/16", **{name: 0}), Model(**{name: 0})):
        with pytest.raises(UserError, match=f"{option} must be above 0 .*Pass 1, for example"):
            model.check()


@pytest.mark.parametrize("variant", SIZES.values(), ids=lambda variant: variant.name)
def test_a_variant_sets_the_patch_size_and_the_blocks(variant):
    name, patch = variant.name, variant.patch_size
    assert name in typing.get_args(Variant)
    of_variant(name, 2 * patch).check()
    message = f"--image-size must be a multiple of the patch size, {patch} with --variant {name}. "
    with pytest.raises(UserError, match=f"{message}.* Pass {2 * patch}, for example"):
        of_variant(name, 2 * patch + 1).check()
    blocks = variant.num_blocks
    of_variant(name, patch).vary(frozen_blocks=blocks).check()
    message = (
        f"--frozen-blocks must be at most the number of blocks, {blocks} with --variant {name}"
    )
    with pytest.raises(UserError, match=f"{message}. Received: {blocks + 1}. Pass {blocks} "):
        of_variant(name, patch).vary(frozen_blocks=blocks + 1).check()


def test_sizes_equal_to_a_variants_are_the_variant():
    sizes = SIZES["B/16"].dimensions
    assert Model(variant="B/16", **sizes).size.name == "B/16"
    assert Model(**sizes).size.name == ""
    assert Model(variant="B/16").resolved() == Model(variant="B/16", **sizes)
    assert Config().resolved().model.size == Config().model.size


@pytest.mark.parametrize(
    "config", [Config(), of_variant("L/16", 224), of_variant("B/16", 224, num_blocks=2)]
)
def test_json_entries_hold_all_sizes_and_give_the_same_configuration(config):
    entries = json.loads(json.dumps(to_entries(config)))
    assert entries["model"].items() >= config.model.size.dimensions.items()
    assert from_entries(entries) == config.resolved()
    with pytest.raises(ValueError, match="model.patch_size is missing"):
        from_entries(entries | {"model": {"variant": "B/16"}})
    with pytest.raises(ValueError, match="colour"):
        from_entries(entries | {"colour": 1})


def test_json_entries_of_version_0_1_0_can_be_read():
    """Sizes were 0 there with a variant, and given without one."""
    config = of_variant("B/16", 224)
    entries = to_entries(config)
    old = entries | {"model": entries["model"] | dict.fromkeys(SIZE_FIELDS, 0)}
    assert upgrade(old) == entries
    assert from_entries(old) == config.resolved()
    assert from_entries(old).model.size == SIZES["B/16"]
    assert upgrade(to_entries(Config())) == to_entries(Config())


def test_json_entries_of_version_0_1_0_lack_newer_fields():
    entries = to_entries(Config())
    old = entries | {
        section: {k: v for k, v in entries[section].items() if k not in fields}
        for section, fields in ADDED.items()
    }
    assert {"train_fraction"} == entries["data"].keys() - old["data"].keys()
    assert {"architecture", "input_permutation"} == entries["model"].keys() - old["model"].keys()
    assert upgrade(old) == entries
    assert from_entries(old) == Config().resolved()
    newer = Config().vary(train_fraction=0.5, architecture="mixer-untied")
    assert from_entries(to_entries(newer)) == newer.resolved()
    with pytest.raises(ValueError, match="data"):
        from_entries(old | {"data": "digits"})


def test_vary_changes_fields_of_any_part():
    config = Config().vary(source="pets", flip=True, variant="S/16", seed=3)
    assert config == Config(
        seed=3, data=Data(source="pets", flip=True), model=Model(variant="S/16")
    )
    assert config.vary() == config
    assert config.vary(hardware=Hardware(devices=2)).vary(devices=0) == config
    with pytest.raises(TypeError, match="no field named colour"):
        config.vary(colour=1)


def test_the_names_of_fields_differ():
    names = [field.name for part in (Config, *PARTS) for field in dataclasses.fields(part)]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_invalid_seeds_are_refused(seed):
    with pytest.raises(UserError, match="--seed must be"):
        Config(seed=seed).check()


def test_every_field_has_a_check():
    """The table above misses no number, so no new field goes unchecked."""
    marks = test_invalid_values_are_refused.pytestmark[0].args[1]
    checked = {(part, field) for part, field, *_ in marks}
    for part in ("data", "augmentation", "model", "optimization", "checkpointing"):
        for field in dataclasses.fields(getattr(Config(), part)):
            is_number = field.type in (int, float) or field.name in SIZE_FIELDS
            assert not is_number or (part, field.name) in checked


def test_every_field_is_read():
    root = Path(inspect.getfile(Config)).parent.parent
    read = {
        node.attr
        for path in root.rglob("*.py")
        if path.parent.name != "config"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load)
    }
    # `build_model` hands all fields of a model on that it does not read.
    handed_on = set(inspect.signature(keras_mixer.MlpMixer).parameters)
    for part in PARTS:
        fields = {field.name for field in dataclasses.fields(part)}
        assert fields <= (read | handed_on if part is Model else read), part
    assert {field.name for field in dataclasses.fields(Config)} <= read


def test_every_field_is_explained():
    """tyro shows the string below a field as the help of its option."""
    for part in (Config, *PARTS):
        body = ast.parse(inspect.getsource(part)).body[0].body
        for field, below in itertools.pairwise(body):
            if isinstance(field, ast.AnnAssign) and field.target.id not in (
                "data",
                "augmentation",
                "model",
                "optimization",
                "checkpointing",
                "hardware",
            ):
                assert isinstance(below, ast.Expr), f"{part.__name__}.{field.target.id}"
