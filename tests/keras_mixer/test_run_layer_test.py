"""The checks that Keras runs on its own layers."""

import pytest
from keras.src.testing import TestCase

import keras_mixer

CASES = {
    "MlpBlock": (keras_mixer.MlpBlock, {"mlp_dim": 3, "dropout_rate": 0.2}, 4, 1),
    "MixerBlock": (keras_mixer.MixerBlock, {"tokens_mlp_dim": 3, "channels_mlp_dim": 5}, 12, 0),
    "MixerBlock, all": (
        keras_mixer.MixerBlock,
        {
            "tokens_mlp_dim": 3,
            "channels_mlp_dim": 5,
            "drop_path_rate": 0.2,
            "dropout_rate": 0.2,
            "approximate_gelu": False,
            "rescale_drop_path": True,
            "rematerialize": True,
        },
        12,
        3,
    ),
    "StochasticDepth": (keras_mixer.StochasticDepth, {"drop_path_rate": 0.2, "seed": 1}, 0, 1),
}


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", CASES)
def test_run_layer_test(case):
    layer_class, arguments, num_weights, num_seeds = CASES[case]
    test = TestCase()
    try:
        test.run_layer_test(
            layer_class,
            arguments,
            input_shape=(2, 6, 4),
            expected_output_shape=(2, 6, 4),
            expected_num_trainable_weights=num_weights,
            expected_num_non_trainable_weights=0,
            expected_num_seed_generators=num_seeds,
            expected_num_losses=0,
            supports_masking=True,
            assert_built_after_instantiation=layer_class is keras_mixer.StochasticDepth,
        )
    finally:
        test.doCleanups()
