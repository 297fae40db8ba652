import keras
import numpy as np
import pytest
from keras import ops

from tests.support.models import SMALL_IMAGE, random_pixels, randomize, small_mixer


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"input_shape": (9, 12, 3)}, r"divisible by the patch, 4 × 4 .* 9 × 12 .* 8 × 12"),
        ({"input_shape": (8, 3, 3)}, r"divisible by the patch, .* 8 × 3 .* 8 × 4"),
        ({"input_shape": (8, 12)}, r"`input_shape` must be \(height, width, channels\)"),
        ({"input_shape": (8, 0, 3)}, r"`input_shape\[1\]` must be a positive integer"),
        (
            {"input_shape": (None, None, 3)},
            r"fixed size, since the token-mixing .* \(224, 224, 3\)",
        ),
        ({"input_shape": (None, 8, 12, 3)}, r"Leave out the batch: \(8, 12, 3\)"),
        (
            {"input_shape": (3, 8, 12)},
            r"`image_data_format` .* input_shape=\(8, 12, 3\), and transpose",
        ),
        (
            {"input_shape": (1, 8, 12)},
            r"`image_data_format` .* input_shape=\(8, 12, 1\), and transpose",
        ),
        ({"input_shape": (8, 12, 2)}, r"1 \(grayscale\) or 3 \(RGB\) .* 2 channels.*False"),
        ({"drop_path_rate": -0.1}, r"`drop_path_rate`.*-0.1"),
        ({"drop_path_rate": 1}, r"`drop_path_rate`.*=1"),
        ({"dropout_rate": 1.0}, r"`dropout_rate`.*=1.0"),
        ({"classes": 0}, r"`classes` must be a positive integer.*classes=0"),
        ({"classes": -3}, r"`classes`.*classes=-3"),
        ({"classes": 5, "include_top": False}, r"`classes` is the size of the head"),
        ({"pooling": "avg"}, r"`pooling` applies to a model without head.*include_top=False"),
        ({"pooling": "sum", "include_top": False}, r"`pooling` must be None, 'avg' or 'max'"),
        (
            {"weights": "imagenet1k"},
            r"`weights` can be the name of published weights .*'imagenet1k'",
        ),
        ({"weights": 3}, r"`weights` must be the path of a weight file, or None.*weights=3"),
        ({"resolution": "crop"}, r"`resolution` must be one of .*'crop'"),
        ({"approximate_gelu": "erf"}, r"`approximate_gelu` must be True .*'erf'"),
        ({"value_range": (1, 0)}, r"`value_range` must be \(low, high\).*\(1, 0\)"),
        ({"value_range": 255}, r"`value_range` must be \(low, high\).*255"),
        (
            {"value_range": (0, 1), "include_preprocessing": False},
            r"`value_range` .*include_preprocessing=False",
        ),
        ({"patch_size": 0}, r"`patch_size` must be a positive integer"),
        ({"patch_size": (4, 4, 4)}, r"`patch_size` must be one integer or \(height, width\)"),
        ({"hidden_dim": 0}, r"`hidden_dim` must be a positive integer"),
        ({"num_blocks": 0}, r"`num_blocks` must be a positive integer"),
        ({"tokens_mlp_dim": 0}, r"`tokens_mlp_dim` must be a positive integer"),
        ({"channels_mlp_dim": -1}, r"`channels_mlp_dim` must be a positive integer"),
        ({"droppath_rate": 0.1}, r"`droppath_rate` is not an argument.*`drop_path_rate`\?"),
        ({"include_top": "no"}, r"`include_top` must be True or False.*'no'"),
        ({"include_preprocessing": "no"}, r"`include_preprocessing` must be True or False"),
        ({"rematerialize": "yes"}, r"`rematerialize` must be True or False.*'yes'"),
        ({"rescale_drop_path": 3}, r"`rescale_drop_path` must be True or False.*=3"),
        ({"pooling": ["avg"], "include_top": False}, r"`pooling` must be None, 'avg' or 'max'"),
        ({"classifier_activation": "sofmax"}, r"`classifier_activation` .*mean 'softmax'\?"),
        ({"classifier_activation": 3}, r"`classifier_activation` .*=3.*'sigmoid' or None"),
        ({"classifier_activation": keras.layers.Softmax}, r"`classifier_activation` must be None"),
        ({"name": "a/b"}, r"`name` must be a string without '/'.*'a/b'"),
        ({"dtype": "int32"}, r"`dtype` must be a floating-point dtype.*'int32'"),
        ({"xyz": 1}, r"`xyz` is not an argument.*It knows patch_size, .*rescale_drop_path"),
        ({"input_shape": 8, "input_tensor": keras.Input((8, 12, 3))}, r"`input_shape` must be \("),
    ],
)
def test_invalid_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        small_mixer(**arguments)


@pytest.mark.parametrize(
    "tensor, message",
    [
        (keras.Input((None, None, 3)), "must be fixed"),
        (keras.Input((8, 12, None)), "must be fixed"),
        (keras.Input((8, 12)), "must be a batch of images"),
        (keras.Input((3, 8, 12)), "channels last, whatever `image_data_format` is"),
        (keras.Input((8, 12, 3), dtype="bool"), "dtype bool.*keras.ops.cast"),
        (keras.Input((8, 12, 3), dtype="string"), "dtype string"),
        (keras.KerasTensor((None, 8, 12, 3)), "the output of a layer.*keras.Input"),
        ([keras.Input((8, 12, 3))], "must be one symbolic Keras tensor"),
        (np.zeros((1, 8, 12, 3)), "must be one symbolic Keras tensor.* of type ndarray"),
        (
            keras.layers.Conv2D(3, 1, name="stem")(keras.Input((8, 12, 3))),
            'must come from layers with other names.* "stem" is used 2 times.*call the model on',
        ),
    ],
)
def test_invalid_input_tensors_are_refused(tensor, message):
    with pytest.raises(ValueError, match=message):
        small_mixer(input_tensor=tensor, input_shape=None)


def test_an_input_tensor_of_integers_needs_preprocessing():
    pixels = random_pixels((2, *SMALL_IMAGE))
    inputs = keras.Input(SMALL_IMAGE, dtype="uint8")
    assert small_mixer(input_tensor=inputs, input_shape=None).predict(pixels, verbose=0).shape == (
        2,
        5,
    )
    with pytest.raises(ValueError, match="dtype uint8. Convert it"):
        small_mixer(input_tensor=inputs, input_shape=None, include_preprocessing=False)


def test_the_input_shape_must_agree_with_the_input_tensor():
    with pytest.raises(ValueError, match="must agree with `input_tensor`"):
        small_mixer(input_tensor=keras.Input((8, 8, 3)))


def test_an_image_of_one_row_is_not_taken_for_channels_first():
    spectra = small_mixer(input_shape=(1, 12, 7), patch_size=(1, 4), include_preprocessing=False)
    assert spectra.output_shape == (None, 5)


def test_channels_are_last_whatever_keras_prefers():
    pixels = random_pixels((2, *SMALL_IMAGE))
    expected = small_mixer()
    arrays = list(randomize(expected).values())
    keras.config.set_image_data_format("channels_first")
    try:
        model = small_mixer()
        model.set_weights(arrays)
        np.testing.assert_array_equal(
            model.predict(pixels, verbose=0), expected.predict(pixels, verbose=0)
        )
    finally:
        keras.config.set_image_data_format("channels_last")


def test_the_layers_have_the_names_in_the_published_files():
    paths = {variable.path for variable in small_mixer().weights}
    block = {
        f"MixerBlock_{i}/{name}"
        for i in range(2)
        for name in (
            "LayerNorm_0/gamma",
            "LayerNorm_0/beta",
            "token_mixing/Dense_0/kernel",
            "token_mixing/Dense_0/bias",
            "token_mixing/Dense_1/kernel",
            "token_mixing/Dense_1/bias",
            "LayerNorm_1/gamma",
            "LayerNorm_1/beta",
            "channel_mixing/Dense_0/kernel",
            "channel_mixing/Dense_0/bias",
            "channel_mixing/Dense_1/kernel",
            "channel_mixing/Dense_1/bias",
        )
    }
    ends = {"stem/kernel", "stem/bias", "head/kernel", "head/bias"}
    norm = {"pre_head_layer_norm/gamma", "pre_head_layer_norm/beta"}
    assert paths == block | ends | norm


def test_random_weights():
    model = small_mixer(hidden_dim=256, channels_mlp_dim=512)
    weights = {v.path: ops.convert_to_numpy(v) for v in model.weights}
    assert not weights["head/kernel"].any()
    for path, array in weights.items():
        if path.endswith("bias") or path.endswith("beta"):
            assert not array.any(), path
        elif path.endswith("gamma"):
            assert np.all(array == 1), path
    for path in ("stem/kernel", "MixerBlock_1/channel_mixing/Dense_1/kernel"):
        fan_in = np.prod(weights[path].shape[:-1])
        assert weights[path].std() == pytest.approx(fan_in**-0.5, rel=0.05), path  # lecun normal


def test_every_norm_has_the_epsilon_of_the_published_weights():
    model = small_mixer()
    norms = [
        layer
        for layer in model._flatten_layers()
        if isinstance(layer, keras.layers.LayerNormalization)
    ]
    assert len(norms) == 2 * 2 + 1
    assert {layer.epsilon for layer in norms} == {1e-6}


def test_stochastic_depth_grows_linearly_up_to_the_last_block():
    model = small_mixer(num_blocks=5, drop_path_rate=0.2)
    rates = [model.get_layer(f"MixerBlock_{i}").drop_path_rate for i in range(5)]
    assert rates == pytest.approx([0, 0.05, 0.1, 0.15, 0.2])
    assert (
        small_mixer(num_blocks=1, drop_path_rate=0.2).get_layer("MixerBlock_0").drop_path_rate == 0
    )


def test_arguments_reach_the_blocks():
    block = small_mixer(dropout_rate=0.3, rescale_drop_path=True).get_layer("MixerBlock_1")
    assert block.token_mixing.dropout_rate == block.channel_mixing.dropout_rate == 0.3
    assert block.stochastic_depth.rescale


def test_preprocessing_scales_pixels_to_the_range_of_the_published_weights():
    plain = small_mixer(include_preprocessing=False)
    scaling = small_mixer()
    for model in (plain, scaling):
        randomize(model)
    pixels = random_pixels((2, *SMALL_IMAGE))
    expected = plain.predict(pixels.astype("float32") / 127.5 - 1, verbose=0)
    for images in (pixels, pixels.astype("float32")):
        np.testing.assert_allclose(scaling.predict(images, verbose=0), expected, atol=1e-5)


def test_preprocessing_keeps_pixel_values_distinct_in_half_precision():
    model = small_mixer(dtype="mixed_bfloat16", input_shape=(16, 16, 1))
    rescaled = keras.Model(model.inputs, model.get_layer("preprocessing").output)
    pixels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    assert len(np.unique(rescaled.predict(pixels, verbose=0))) == 256


def test_pooled_features_are_what_the_head_sees():
    whole = small_mixer()
    weights = randomize(whole)
    arrays = dict(zip((v.path for v in whole.weights), weights.values(), strict=True))
    pixels = random_pixels((2, *SMALL_IMAGE))
    body = small_mixer(include_top=False, pooling="avg")
    tokens = small_mixer(include_top=False)
    largest = small_mixer(include_top=False, pooling="max")
    for model in (body, tokens, largest):
        for variable in model.weights:
            variable.assign(arrays[variable.path])
    features = body.predict(pixels, verbose=0)
    table = tokens.predict(pixels, verbose=0)
    assert table.shape == (2, 6, 16)
    np.testing.assert_allclose(features, table.mean(axis=1), atol=1e-6)
    np.testing.assert_allclose(largest.predict(pixels, verbose=0), table.max(axis=1), atol=1e-6)
    logits = features @ weights["head/kernel"] + weights["head/bias"]
    np.testing.assert_allclose(whole.predict(pixels, verbose=0), logits, atol=1e-5)


def test_the_default_head_gives_probabilities_of_1000_classes():
    model = small_mixer(classes=None, classifier_activation="softmax")
    randomize(model)
    probabilities = model.predict(random_pixels((2, *SMALL_IMAGE)), verbose=0)
    assert probabilities.shape == (2, 1000)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)


def test_a_mixer_on_a_tensor_of_another_model():
    raw = keras.Input((16, 24, 3))
    halved = keras.layers.AveragePooling2D(2)(raw)
    model = small_mixer(input_tensor=halved, input_shape=None)
    alone = small_mixer()
    alone.set_weights(list(randomize(model).values()))
    pixels = random_pixels((2, 16, 24, 3)).astype("float32")
    small = pixels.reshape(2, 8, 2, 12, 2, 3).mean(axis=(2, 4))
    assert model.input_shape == (None, 16, 24, 3)
    np.testing.assert_allclose(
        model.predict(pixels, verbose=0), alone.predict(small, verbose=0), atol=1e-6
    )


def test_patches_need_not_be_square():
    model = small_mixer(patch_size=(2, 6), include_top=False)
    assert model.output_shape == (None, 8, 16)
    assert model.get_layer("stem").kernel.shape == (2, 6, 3, 16)


def test_intermediate_features_by_name():
    model = small_mixer()
    features = keras.Model(model.input, model.get_layer("MixerBlock_1").output)
    assert features.output_shape == (None, 6, 16)


def test_the_global_policy_is_the_default():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = small_mixer()
    finally:
        keras.config.set_dtype_policy(before)
    assert model.get_layer("MixerBlock_0").compute_dtype == "bfloat16"
    assert model.get_layer("MixerBlock_0").token_mixing.dense_0.compute_dtype == "bfloat16"
    assert model.get_layer("head").compute_dtype == "float32"
