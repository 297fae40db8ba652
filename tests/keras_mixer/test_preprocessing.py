"""Evaluation transforms against the libraries that define them."""

import sys
import tracemalloc

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from sklearn.datasets import load_sample_images

from keras_mixer.preprocessing import prepare_image, preprocess_input
from keras_mixer.transforms import TRANSFORMS

ONCE = pytest.mark.backend("torch")  # NumPy and TensorFlow compute it, whatever the backend
PHOTOS = load_sample_images().images  # two of 427 × 640
NOISE = np.random.default_rng(0).choice(np.array([0, 255], "uint8"), (300, 401, 3))
WHITE = np.full((333, 517, 3), 255, "uint8")

# Size (height, width) that an image is resized to, computed by hand.
SIZES = [
    # image, image_size, resmall-crop, resize-crop, timm
    pytest.param(PHOTOS[0], 224, (256, 384), (256, 256), (256, 383), id="photo"),
    pytest.param(PHOTOS[1], 224, (256, 384), (256, 256), (256, 383), id="photo 2"),
    pytest.param(PHOTOS[0].transpose(1, 0, 2), 224, (384, 256), (256, 256), (383, 256), id="tall"),
    pytest.param(PHOTOS[1], 448, (512, 767), (512, 512), (512, 767), id="448"),
    pytest.param(PHOTOS[1], 384, (439, 658), (439, 439), (438, 656), id="384"),
    pytest.param(PHOTOS[0], (224, 320), (256, 384), (256, 366), (256, 383), id="wide crop"),
    pytest.param(PHOTOS[0], [320, 224], (366, 549), (366, 256), (365, 547), id="tall crop"),
    pytest.param(PHOTOS[1], (64, 320), (244, 366), (73, 366), (243, 365), id="width decides"),
    pytest.param(PHOTOS[1][:227, :225], 224, (258, 256), (256, 256), (258, 256), id="227 x 225"),
    pytest.param(PHOTOS[1][:224, :224], 224, (256, 256), (256, 256), (256, 256), id="224 x 224"),
    pytest.param(PHOTOS[1][:1, :1], 224, (256, 256), (256, 256), (256, 256), id="1 x 1"),
    pytest.param(WHITE, 224, (256, 397), (256, 256), (256, 397), id="white"),
    pytest.param(NOISE, 224, (256, 342), (256, 256), (256, 342), id="noise"),
    pytest.param(PHOTOS[1][:3, :500], 224, (256, 42667), (256, 256), (256, 42666), id="3 x 500"),
]


def prepare_in_graph(image, *arguments):
    """Call `prepare_image` inside `tf.data`, on an image of unknown size."""
    return next(dataset_of([image], *arguments).as_numpy_iterator())


def dataset_of(images, *arguments):
    signature = tf.TensorSpec((None, None, images[0].shape[2]), images[0].dtype)
    dataset = tf.data.Dataset.from_generator(lambda: images, output_signature=signature)
    return dataset.map(lambda image: prepare_image(image, *arguments))


def with_tensorflow(image, method, resized, image_size):
    """Resize as big_vision does: cast without rounding, and crop rounding down."""
    height, width = np.broadcast_to(image_size, 2)
    image = tf.cast(tf.clip_by_value(tf.image.resize(image, resized, method), 0, 255), "uint8")
    top, left = (resized[0] - height) // 2, (resized[1] - width) // 2
    return image[top : top + height, left : left + width].numpy()


def with_pillow(image, resample, resized, image_size):
    """Resize as torchvision does: with Pillow, and crop rounding to the nearest."""
    height, width = np.broadcast_to(image_size, 2)
    image = np.asarray(Image.fromarray(image).resize(resized[::-1], resample))
    top, left = (round((resized[axis] - (height, width)[axis]) / 2) for axis in (0, 1))
    return image[top : top + height, left : left + width]


@ONCE
@pytest.mark.parametrize("image, image_size, resmall, squash, timm", SIZES)
def test_each_transform_equals_its_library_bit_for_bit(image, image_size, resmall, squash, timm):
    shape = np.broadcast_to(image_size, 2)
    expected = {
        "resmall-crop": with_tensorflow(image, "area", resmall, image_size),
        "resize-crop": with_tensorflow(image, "area", squash, image_size),
        "resize": np.rint(tf.cast(tf.image.resize(image, shape, "bilinear"), "float32")),
        "timm-bicubic": with_pillow(image, Image.Resampling.BICUBIC, timm, image_size),
        "timm-bilinear": with_pillow(image, Image.Resampling.BILINEAR, timm, image_size),
    }
    assert expected.keys() == TRANSFORMS.keys()
    for name in TRANSFORMS:
        result = prepare_image(image, name, image_size)
        assert (type(result), result.dtype, result.shape) == (np.ndarray, "uint8", (*shape, 3))
        np.testing.assert_array_equal(result, expected[name], err_msg=name)


@ONCE
@pytest.mark.parametrize("image_size", [384, (64, 320)])
@pytest.mark.parametrize("name", TRANSFORMS)
@pytest.mark.long
def test_tf_data_and_numpy_agree(name, image_size):
    photo = PHOTOS[0]
    images = [photo, photo.transpose(1, 0, 2), photo[:227, :225], photo[:1, :1], WHITE, NOISE]
    dataset = dataset_of(images, name, image_size)
    assert dataset.element_spec == tf.TensorSpec((*np.broadcast_to(image_size, 2), 3), tf.uint8)
    for image, result in zip(images, dataset.as_numpy_iterator(), strict=True):
        np.testing.assert_array_equal(result, prepare_image(image, name, image_size))


@ONCE
def test_the_default_is_resmall_crop_at_224():
    np.testing.assert_array_equal(
        prepare_image(PHOTOS[0]), prepare_image(PHOTOS[0], "resmall-crop", 224)
    )


@ONCE
@pytest.mark.parametrize("prepare", [prepare_image, prepare_in_graph])
class TestByHand:
    """Small cases that show the rounding."""

    def test_area_rounds_down(self, prepare):
        block = np.array([[0, 0], [0, 255]], "uint8")  # its mean is 63.75
        image = np.tile(block, (8, 8))[:, :, None]
        for name in ("resmall-crop", "resize-crop"):
            assert np.all(prepare(image, name, 7) == 63)

    def test_bilinear_rounds_to_the_nearest(self, prepare):
        image = np.zeros((4, 4, 1), "uint8")
        image[2, 2] = 255  # one of the four pixels in the middle
        np.testing.assert_array_equal(prepare(image, "resize", 1), np.full((1, 1, 3), 64))

    def test_bilinear_does_not_antialias(self, prepare):
        image = np.full((6, 6, 1), 255, "uint8")
        image[1::3, 1::3] = 10  # in the middle of every 3 × 3
        assert np.all(prepare(image, "resize", 2) == 10)

    def test_area_weights_fractions_of_pixels(self, prepare):
        """From 3 pixels to 2, each covers one and a half."""
        image = np.tile(np.array([[30, 60, 90]], "uint8"), (3, 1))[:, :, None]
        row = prepare(image, "resize-crop", 2)[0, :, 0]
        np.testing.assert_array_equal(row, [(30 + 60 / 2) / 1.5, (60 / 2 + 90) / 1.5])

    def test_pillow_rounds_twice_and_halves_up(self, prepare):
        image = np.array([[1, 0], [0, 0]], "uint8")[:, :, None]  # rows to 1 and 0, both to 1
        assert np.all(prepare(image, "timm-bilinear", 1) == 1)

    @pytest.mark.parametrize("name, first", [("resmall-crop", 1), ("timm-bilinear", 2)])
    def test_a_margin_of_a_half_pixel(self, prepare, name, first):
        """Cropping 21 of 24 pixels, big_vision removes 1 and 2, torchvision 2 and 1."""
        image = np.tile(np.arange(24, dtype="uint8")[:, None, None], (1, 24, 1))
        np.testing.assert_array_equal(prepare(image, name, 21)[:, 0, 0], np.arange(21) + first)

    def test_a_step_enlarged_twice(self, prepare):
        """Keys' cubic at 1/4, 3/4, 5/4, 7/4 is 0.867, 0.227, -0.070, -0.023; the triangle 3/4, 1/4.

        With 100 times what lies beyond the step: -2.3, -7.0, 22.7 - 2.3 and the reverse.
        """
        image = np.tile(np.repeat([50, 150], 4).astype("uint8")[None, :, None], (8, 1, 1))
        bicubic, bilinear = (prepare(image, f"timm-{m}", 14) for m in ("bicubic", "bilinear"))
        np.testing.assert_array_equal(bicubic[0, 3:11, 0], [50, 48, 43, 70, 130, 157, 152, 150])
        np.testing.assert_array_equal(bilinear[0, 3:11, 0], [50, 50, 50, 75, 125, 150, 150, 150])


@ONCE
@pytest.mark.parametrize("prepare", [prepare_image, prepare_in_graph])
@pytest.mark.parametrize("name", TRANSFORMS)
def test_grayscale_becomes_three_equal_channels(name, prepare):
    gray = PHOTOS[0][:150, :200, :1]
    result = prepare(gray, name, 64)
    np.testing.assert_array_equal(result, prepare(np.repeat(gray, 3, axis=2), name, 64))


@ONCE
@pytest.mark.parametrize("prepare", [prepare_image, prepare_in_graph])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_floats_are_rounded(dtype, prepare):
    levels = np.clip(PHOTOS[0][:150, :200], 1, 254)
    near = np.where(np.indices(levels.shape).sum(axis=0) % 2, 0.375, -0.375)  # exact in float16
    result = prepare((levels + near).astype(dtype), "resize", 64)
    np.testing.assert_array_equal(result, prepare(levels, "resize", 64))


@ONCE
def test_fractions_of_one_are_refused():
    with pytest.raises(ValueError, match="fractions from .* Multiply them by 255"):
        prepare_image(PHOTOS[0] / 255)
    prepare_image(np.zeros((8, 8, 3), "float32"))


@ONCE
def test_values_outside_are_clipped_in_a_graph():
    image = np.random.default_rng(0).uniform(-300, 600, (20, 30, 3)).astype("float32")
    result = prepare_in_graph(image, "timm-bicubic", 7)
    np.testing.assert_array_equal(result, prepare_image(image.clip(0, 255), "timm-bicubic", 7))


@pytest.mark.parametrize("dtype", ["uint8", "float32", "bfloat16"])
def test_tensors_of_the_backend(dtype):
    levels = PHOTOS[0][:150, :200] // 2  # bfloat16 holds whole numbers up to 256
    result = prepare_image(keras.ops.convert_to_tensor(levels, dtype), "resize", 64)
    assert isinstance(result, np.ndarray)
    np.testing.assert_array_equal(result, prepare_image(levels, "resize", 64))


@ONCE
def test_tensors_of_tensorflow_outside_a_graph():
    result = prepare_image(tf.constant(PHOTOS[0]), "timm-bicubic")
    np.testing.assert_array_equal(result, prepare_image(PHOTOS[0], "timm-bicubic"))


@ONCE
@pytest.mark.parametrize("name", TRANSFORMS)
def test_files(name, tmp_path):
    path = tmp_path / "photo.png"
    Image.fromarray(PHOTOS[1]).save(path)
    expected = prepare_image(PHOTOS[1], name)
    np.testing.assert_array_equal(prepare_image(path, name), expected)
    np.testing.assert_array_equal(prepare_image(str(path), name), expected)
    dataset = tf.data.Dataset.from_tensors(str(path))
    dataset = dataset.map(lambda p: tf.io.decode_png(tf.io.read_file(p), channels=3))
    (result,) = dataset.map(lambda x: prepare_image(x, name))
    np.testing.assert_array_equal(result.numpy(), expected)


@ONCE
def test_files_of_other_modes_become_rgb(tmp_path):
    gray = Image.fromarray(PHOTOS[0][:, :, 0])
    for mode in ("L", "LA", "RGBA", "1", "P"):
        path = tmp_path / f"{mode}.png"
        gray.convert(mode).save(path)
        expected = np.asarray(gray.convert(mode).convert("RGB"))
        np.testing.assert_array_equal(prepare_image(path), prepare_image(expected))


@ONCE
def test_tensorflow_is_not_needed(monkeypatch):
    expected = prepare_image(PHOTOS[0])
    monkeypatch.delitem(sys.modules, "tensorflow")
    np.testing.assert_array_equal(prepare_image(PHOTOS[0]), expected)
    assert "tensorflow" not in sys.modules


@ONCE
def test_the_transforms_differ():
    results = {prepare_image(PHOTOS[0], name).tobytes() for name in TRANSFORMS}
    assert len(results) == len(TRANSFORMS) == 5


UNIT = np.linspace(0, 1, 48, dtype="float32").reshape(1, 4, 4, 3)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "x",
    [
        PHOTOS[0],
        UNIT * 255,
        np.float64(NOISE // 255),  # 0 and 1 may be almost black pixels
        np.zeros((2, 4, 4, 3)),
        np.zeros((0, 4, 4, 3)),
        [[[255, 255, 255]]],
        ["a.png"],
        None,
        keras.Input((4, 4, 3)),
        pytest.param(np.concatenate([UNIT * 255] * 64 + [UNIT / 0.001]), id="the 65th image"),
    ],
)
def test_preprocess_input_is_the_identity(x):
    assert preprocess_input(x) is x
    assert preprocess_input(x, data_format="channels_last") is x


@pytest.mark.parametrize(
    "x, received",
    [
        (UNIT, "fractions from 0.0 to 1.0"),
        (UNIT[0].tolist(), "fractions from 0.0 to 1.0"),
        (UNIT.astype("float16"), "fractions from 0.0 to 1.0"),
        (UNIT * 2 - 1, "values from -1.0 to 1.0"),
        (np.int32([[[-1]]]), "values from -1.0 to -1.0"),
        (np.uint16([[[4095]]]), "values from 4095.0 to 4095.0"),
        (UNIT * np.nan, "values from nan to nan"),
    ],
)
@pytest.mark.parametrize("as_tensor", [False, True])
def test_preprocess_input_warns_about_images_that_are_not_pixels(x, received, as_tensor):
    if as_tensor:
        x = keras.ops.convert_to_tensor(x)
    with pytest.warns(UserWarning, match=f"Received: {received}.*include_preprocessing=False"):
        assert preprocess_input(x) is x


@pytest.mark.filterwarnings("error")
def test_preprocess_input_does_not_look_into_a_graph():
    data = tf.data.Dataset.from_tensor_slices(UNIT).map(preprocess_input)
    np.testing.assert_array_equal(next(iter(data)), UNIT[0])
    assert preprocess_input(data) is data
    if keras.backend.backend() == "jax":
        import jax

        jax.jit(lambda x: preprocess_input(x))(UNIT)


@ONCE
class TestErrors:
    image = PHOTOS[0][:20, :30]

    @pytest.mark.parametrize(
        "name, advice",
        [
            ("resmall_crop", "Did you mean 'resmall-crop'?"),
            ("bicubic", "Did you mean 'timm-bicubic'?"),
            ("xyz", "Pass one of these names."),
            (None, "Pass one of these names."),
        ],
    )
    def test_unknown_transform(self, name, advice):
        with pytest.raises(ValueError, match="`transform` must be one of 'resmall-crop', ") as info:
            prepare_image(self.image, name)
        assert str(info.value).endswith(f"Received: transform={name!r}. {advice}")

    @pytest.mark.parametrize("size", [0, -1, 1.5, "224", None, True, (224, 0), (2.0, 224)])
    def test_image_size_must_be_positive_integers(self, size):
        with pytest.raises(ValueError, match="`image_size` must be a positive integer. Received"):
            prepare_image(self.image, image_size=size)

    @pytest.mark.parametrize("size", [(), (224,), (224, 224, 3)])
    def test_image_size_must_be_one_or_two(self, size):
        with pytest.raises(
            ValueError, match=r"one integer or \(height, width\). Received: image_s"
        ):
            prepare_image(self.image, image_size=size)

    @pytest.mark.parametrize(
        "shape", [(), (20, 30), (1, 20, 30, 3), (20, 30, 4), (3, 20, 30), (0, 30, 3), (20, 0, 1)]
    )
    def test_shape(self, shape):
        with pytest.raises(ValueError, match=r"\(height, width, channels\), not empty") as info:
            prepare_image(np.zeros(shape, "uint8"))
        assert f"Received: an image of shape {shape}. Put channels" in str(info.value)

    @pytest.mark.parametrize("dtype", ["int32", "uint16", "bool", "complex64"])
    def test_dtype(self, dtype):
        with pytest.raises(ValueError, match=f"uint8 or floating, .* Received: dtype {dtype}. "):
            prepare_image(self.image.astype(dtype))

    @pytest.mark.parametrize("value", [-1, 255.5, np.nan, np.inf, -np.inf])
    def test_values(self, value):
        image = self.image.astype("float32")
        image[3, 4, 1] = value
        with pytest.raises(ValueError, match="numbers from 0 to 255. Received: values from "):
            prepare_image(image)

    def test_missing_file(self, tmp_path):
        path = tmp_path / "missing.png"
        with pytest.raises(FileNotFoundError, match="Received: image='.*missing.png'. Check"):
            prepare_image(path)

    @pytest.mark.parametrize("content", [b"", b"no image", "broken png", "half a png"])
    def test_not_an_image(self, content, tmp_path):
        path = tmp_path / "file.png"
        Image.fromarray(self.image).save(path)
        png = path.read_bytes()
        if content == "broken png":
            content = png[:60] + b"\0" * 60
        elif content == "half a png":
            content = png[: len(png) // 2]
        path.write_bytes(content)
        with pytest.raises(OSError, match="that Pillow can read. Received: image='.*file.png'"):
            prepare_image(path)
        with pytest.raises(OSError, match="that Pillow can read"):
            prepare_image(tmp_path)

    def test_in_a_graph(self):
        def prepare(shape, dtype):
            spec = tf.TensorSpec(shape, dtype)
            tf.function(prepare_image).get_concrete_function(spec)

        with pytest.raises(ValueError, match="Received: an image of shape unknown. .* expand_anim"):
            prepare(None, "uint8")
        with pytest.raises(ValueError, match=r"shape \(None, None, None\). .* channels=3"):
            prepare((None, None, None), "uint8")
        with pytest.raises(ValueError, match=r"Received: an image of shape \(0, None, 3\)"):
            prepare((0, None, 3), "uint8")
        with pytest.raises(ValueError, match="Received: dtype string"):
            prepare((None, None, 3), "string")


@ONCE
def test_the_docstring_names_every_transform():
    for name in TRANSFORMS:
        assert f'`"{name}"`' in prepare_image.__doc__


@pytest.mark.backend("torch")
@pytest.mark.parametrize("name", ["resmall-crop", "resize-crop"])
def test_an_image_of_one_row_needs_little_memory(name):
    """Resized, it would have 256 million columns, of which the crop has 224."""
    image = np.zeros((1, 1_000_000, 3), "uint8")
    image[:, 500_000 - 10 : 500_000 + 10] = 200
    tracemalloc.start()
    prepared = prepare_image(image, name, 224)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert prepared.shape == (224, 224, 3) and peak < 5e8
    if name == "resmall-crop":
        assert (prepared == 200).all()
