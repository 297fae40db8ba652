import os

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tests.support.tfds import build_tfds
from training.config import Augmentation, Data
from training.data.cache import cached
from training.data.pipeline import evaluation_batches, training_batches
from training.data.shard import Shard
from training.data.sources import digits, load_source, presets
from training.errors import UserError


def examples(split):
    """Return the images, or their files, and labels of a split, in its order."""
    read = [
        (getattr(image, "file", image).numpy(), int(label)) for _, image, label in split.in_order()
    ]
    return [image for image, _ in read], np.array([label for _, label in read], int)


def as_set(split):
    return {bytes(image) for image in examples(split)[0]}


def refused(message, **fields):
    with pytest.raises(UserError, match=message):
        load_source(Data(**fields))


class TestDigits:
    def test_parts(self):
        source = load_source(Data(validation_fraction=0.1))
        assert source.class_names == tuple("0123456789")
        assert source.channels == 1
        splits = (source.train, source.validation, source.test)
        assert [len(split) for split in splits] == [1293, 144, 360]
        for split in splits:
            images = np.stack(examples(split)[0])
            assert images.shape == (len(split), 8, 8, 1)
            assert images.dtype == np.uint8
            assert (images.min(), images.max()) == (0, 255)
        assert not as_set(source.test) & (as_set(source.train) | as_set(source.validation))
        assert not as_set(source.train) & as_set(source.validation)

    def test_a_fifth_of_every_class_is_held_out(self):
        source = digits.load(Data(validation_fraction=0.1))
        test = np.bincount(examples(source.test)[1])
        rest = sum(np.bincount(examples(s)[1]) for s in (source.train, source.validation))
        np.testing.assert_allclose(test / (test + rest), 0.2, atol=0.005)

    def test_the_test_split_does_not_depend_on_the_validation_split(self):
        one, other = (digits.load(Data(validation_fraction=f)) for f in (0.1, 0.0))
        assert as_set(one.test) == as_set(other.test)
        assert len(other.validation) == 0
        assert len(other.train) == 1437

    def test_a_validation_split_without_every_class_is_refused(self):
        for fraction in (0.001, 0.999):
            refused("--validation-fraction must leave", validation_fraction=fraction)


@pytest.mark.parametrize("source", ["digit", "digits:", "folder:", "tfds", "zip:a.zip", ""])
def test_unknown_sources_are_refused(source):
    refused("--source must be digits, folder:PATH, arrays:FILE.npz, tfds", source=source)


class TestArrays:
    @pytest.fixture
    def arrays(self):
        rng = np.random.default_rng(0)
        return {
            "x_train": rng.integers(0, 256, (30, 6, 5), dtype=np.uint8),
            "y_train": np.arange(30) % 3,
            "x_test": rng.integers(0, 256, (7, 6, 5), dtype=np.uint8),
            "y_test": np.arange(7) % 3,
        }

    @pytest.fixture
    def load(self, tmp_path):
        def load(arrays, **fields):
            np.savez(tmp_path / "set.npz", **arrays)
            return load_source(Data(source=f"arrays:{tmp_path / 'set.npz'}", **fields))

        return load

    def test_parts(self, arrays, load):
        source = load(arrays, validation_fraction=0.2)
        assert source.class_names == ("0", "1", "2")
        assert source.channels == 1
        assert [len(s) for s in (source.train, source.validation, source.test)] == [24, 6, 7]
        images, labels = examples(source.test)
        np.testing.assert_array_equal(np.stack(images)[..., 0], arrays["x_test"])
        np.testing.assert_array_equal(labels, arrays["y_test"])

    def test_colour_names_and_a_held_out_test(self, arrays, load):
        arrays = {
            "x_train": np.repeat(arrays["x_train"][..., None], 3, axis=3),
            "y_train": arrays["y_train"][:, None],  # as keras.datasets.cifar10 has them
            "class_names": np.array(["cat", "dog", "emu"]),
        }
        source = load(arrays, validation_fraction=0.0, test_fraction=0.5)
        assert source.class_names == ("cat", "dog", "emu")
        assert source.channels == 3
        assert [len(s) for s in (source.train, source.validation, source.test)] == [15, 0, 15]

    @pytest.mark.parametrize(
        "change, message",
        [
            ({"x_train": None}, "must hold x_train and y_train"),
            ({"y_train": None}, "must hold 30 integers as y_train. Received: none"),
            ({"y_test": np.arange(6)}, "must hold 7 integers as y_test"),
            ({"y_train": np.arange(30) / 3}, "must hold 30 integers as y_train"),
            ({"y_train": np.arange(30) % 3 - 1}, "labels from 0 on. Received: y_train with -1"),
            ({"x_test": np.zeros((7, 6, 6), "uint8")}, "images of one size"),
            ({"x_test": np.zeros((7, 6, 5))}, "x_test as uint8"),
            ({"x_test": np.zeros((7, 6, 5, 4), "uint8")}, "with 1 or 3 channels"),
            ({"class_names": np.array(["a", "b"])}, "labels up to 2 and 2 class_names"),
            ({"y_train": np.arange(30) % 3 * 2}, "images of every class. Received: none of 1, 3"),
        ],
    )
    def test_unsound_files(self, change, message, arrays, load):
        arrays = {k: v for k, v in {**arrays, **change}.items() if v is not None}
        with pytest.raises(UserError, match=message):
            load(arrays)

    def test_a_class_that_one_side_would_lack(self, arrays, load):
        arrays["y_train"] = np.array([0] * 14 + [1] * 14 + [2] * 2)
        with pytest.raises(UserError, match="leaves none of class number 2"):
            load(arrays, validation_fraction=0.1)

    def test_no_file(self, tmp_path):
        refused("must name a file of NumPy arrays", source=f"arrays:{tmp_path / 'none.npz'}")
        np.savez(tmp_path / "whole.npz", x_train=np.zeros((9, 4, 4), "uint8"))
        whole = (tmp_path / "whole.npz").read_bytes()
        np.save(tmp_path / "single.npy", np.zeros(3))
        contents = {"text.npz": b"text", "empty.npz": b"", "half.npz": whole[: len(whole) // 2]}
        for name, content in contents.items():
            (tmp_path / name).write_bytes(content)
        for name in (*contents, "single.npy"):
            refused("must name a file of NumPy arrays", source=f"arrays:{tmp_path / name}")


class TestFolder:
    @pytest.fixture
    def root(self, tmp_path):
        """Three classes of ten images each, whose grey level tells the class."""
        for part in ("train", "test"):
            for label, name in enumerate(["cat", "dog", "emu"]):
                folder = tmp_path / part / name
                folder.mkdir(parents=True)
                for i in range(10):
                    suffix = ["jpg", "png", "BMP", "gif", "webp"][i % 5]
                    image = Image.new("RGB", (20 + i, 15), (80 * label,) * 3)
                    image.save(folder / f"{i}.{suffix}", quality=95)
                (folder / ".DS_Store").write_text("left alone")
        return tmp_path

    def test_parts(self, root):
        source = load_source(Data(source=f"folder:{root}", validation_fraction=0.2))
        assert source.class_names == ("cat", "dog", "emu")
        assert source.channels == 3
        assert [len(s) for s in (source.train, source.validation, source.test)] == [24, 6, 30]
        for split in (source.train, source.validation, source.test):
            for image, label in zip(*examples(split), strict=True):
                pixels = tf.io.decode_image(image, channels=3, expand_animations=False)
                assert abs(int(pixels[0, 0, 0]) - 80 * label) < 5

    def test_one_folder_is_divided_always_alike(self, root):
        data = Data(source=f"folder:{root / 'train'}", test_fraction=0.2, validation_fraction=0.25)
        one, other = load_source(data), load_source(data)
        assert [len(s) for s in (one.train, one.validation, one.test)] == [18, 6, 6]
        assert as_set(one.test) == as_set(other.test)
        np.testing.assert_array_equal(np.bincount(examples(one.test)[1]), [2, 2, 2])

    def test_unsound_folders(self, root, tmp_path):
        where = f"folder:{root}"
        refused("is not a folder", source=f"folder:{root / 'nowhere'}")
        (root / "train" / "cat" / "kittens").mkdir()
        refused("cat/kittens is a folder inside a class.*not be nested", source=where)
        (root / "train" / "cat" / "kittens").rmdir()
        (root / "train" / "cat" / "notes.txt").write_text("x")
        refused("1 of 61 that are not:\n.*notes.txt: its name does not end in .jpg", source=where)
        (root / "train" / "cat" / "notes.txt").unlink()
        (root / "train" / "Dog").mkdir()
        refused("two classes that differ in case only: Dog and dog", source=where)
        (root / "train" / "Dog").rename(root / "train" / "fox")
        refused("fox is a class without images|other classes than train", source=where)
        (root / "test" / "fox").mkdir()
        refused("fox is a class without images", source=where)
        refused("holds 0 class folders", source=f"folder:{root / 'test' / 'cat'}")
        (root / "train").rename(root / "training")
        refused("has a folder .*test and none called train", source=where)

    def test_bad_images_are_named_or_left_out(self, root):
        where = f"folder:{root}"
        (root / "train" / "cat" / "empty.jpg").write_bytes(b"")
        whole = (root / "test" / "dog" / "0.jpg").read_bytes()
        (root / "test" / "dog" / "half.jpg").write_bytes(whole[: len(whole) // 2])
        refused(
            r"2 of 62 that are not:\n.*cat/empty.jpg: it is empty\n.*dog/half.jpg", source=where
        )
        source = load_source(Data(source=where, on_bad_image="skip", validation_fraction=0.2))
        assert [len(s) for s in (source.train, source.validation, source.test)] == [24, 6, 30]
        assert [line.rpartition("/")[2].partition(":")[0] for line in source.skipped] == [
            "empty.jpg",
            "half.jpg",
        ]
        old = root / "train" / "cat" / "0.jpg"
        old.rename(os.fsdecode(bytes(old.parent / "caf") + b"\xe9.jpg"))  # as from an old archive
        renamed = load_source(Data(source=where, on_bad_image="skip", validation_fraction=0.0))
        assert len(examples(renamed.train)[0]) == 30
        for image in (root / "train" / "emu").glob("[0-9]*"):
            image.write_bytes(b"")
        message = "emu is a class without images that can be read"
        refused(message, source=where, on_bad_image="skip")

    def test_many_bad_images_are_counted(self, root):
        for i in range(30):
            (root / "train" / "cat" / f"bad {i:02}.png").write_bytes(b"")
        refused(
            "(?s)30 of 90 that .*bad 09.png: it is empty\n  and 20 more", source=f"folder:{root}"
        )

    def test_photos_are_turned_as_exif_says(self, root):
        pixels = np.zeros((30, 40, 3), np.uint8)
        pixels[:, :20] = 255
        exif = Image.Exif()
        exif[0x0112] = 6  # to be turned clockwise, so that what is left comes up
        Image.fromarray(pixels).save(root / "test" / "cat" / "! photo.jpg", exif=exif)
        data = Data(source=f"folder:{root}", image_size=8)
        source = load_source(data)
        batch = next(iter(evaluation_batches(source.test, source, data)))
        photo = batch[0][0].numpy()
        assert photo[:4].min() > 200 and photo[4:].max() < 50


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    """Sets of TensorFlow Datasets on disk, made of the digits."""
    import tensorflow_datasets as tfds
    from sklearn.datasets import load_digits

    folder = tmp_path_factory.mktemp("tfds")
    bunch = load_digits()
    images = np.round(bunch.images * (255 / 16)).astype("uint8")[..., None]
    labelled = list(zip(images, map(int, bunch.target), strict=True))
    ten_classes = tfds.features.ClassLabel(names=list("0123456789"))
    splits = {"train": labelled[:1000], "test": labelled[1000:1203]}
    build_tfds(folder, "one_file", ten_classes, {"test": labelled[:50]}, num_shards=1)
    build_tfds(folder, "tiny_digits", ten_classes, splits)
    secret = {"train": labelled[:20], "test": [(image, -1) for image in images[:20]]}
    build_tfds(folder, "secret_digits", ten_classes, secret)
    several = [(images[i], [i % 10, (i + 1) % 10] if i % 3 else []) for i in range(30)]
    classes = tfds.features.Sequence(ten_classes)
    build_tfds(folder, "several_digits", classes, {"validation": several})
    return str(folder)


class TestTfds:
    def test_splits(self, data_dir):
        data = Data(
            source="tfds:tiny_digits",
            data_dir=data_dir,
            train_split="train[:90%]",
            validation_split="train[90%:]",
        )
        source = load_source(data)
        assert source.class_names == tuple("0123456789")
        assert source.channels == 1
        splits = (source.train, source.validation, source.test)
        assert [len(split) for split in splits] == [900, 100, 203]
        for split in splits:
            images, labels = examples(split)
            assert len(images) == len(split)
            assert len(set(labels)) == 10
            assert all(isinstance(image, bytes) for image in images)  # still encoded
        assert not as_set(source.train) & as_set(source.validation)

    def test_the_order_is_random_and_repeatable_and_each_pass_is_whole(self, data_dir):
        data = Data(source="tfds:tiny_digits", data_dir=data_dir)
        source = load_source(data)

        def drawn(seed, start=0, number=2000):
            dataset = source.train.shuffled(seed, batch_size=1, start_step=start).take(number)
            return [(int(p), image.file.numpy()) for p, image, _ in dataset]

        first = drawn(0)
        assert [position for position, _ in first] == list(range(2000))
        assert {image for _, image in first[:1000]} == as_set(source.train)
        assert [i for _, i in first[:1000]] != [i for _, i in first[1000:]]
        assert drawn(0) == first
        assert drawn(1)[:50] != first[:50]
        assert drawn(0, start=1500, number=20) == first[1500:1520]

    def test_one_file_comes_in_a_new_order_in_each_pass(self, data_dir):
        data = Data(source="tfds:one_file", data_dir=data_dir, train_split="test")
        drawn = load_source(data).train.shuffled(0, batch_size=1).take(150)
        images = [image.file.numpy() for _, image, _ in drawn]
        passes = images[:50], images[50:100], images[100:]
        assert len({tuple(one_pass) for one_pass in passes}) == 3
        assert len({frozenset(one_pass) for one_pass in passes}) == 1

    @pytest.mark.parametrize("seed", [0, 7])
    def test_the_seed_and_the_step_alone_decide(self, data_dir, seed):
        """Not the program's own seed, and not where the pipeline starts."""
        augmentation = Augmentation(randaugment_magnitude=10, mixup_alpha=0.2)
        data = Data(source="tfds:tiny_digits", data_dir=data_dir, batch_size=50, flip=True)
        source = load_source(data)

        def batches(start, number):
            dataset = training_batches(source, data, augmentation, seed, start).take(number)
            return np.stack([images for images, _ in dataset.as_numpy_iterator()])

        keras.utils.set_random_seed(0)
        whole = batches(0, 25)
        keras.utils.set_random_seed(5)
        np.testing.assert_array_equal(batches(22, 3), whole[22:])

    def test_hosts_read_disjoint_shards_that_are_whole_together(self, data_dir):
        source = load_source(Data(source="tfds:tiny_digits", data_dir=data_dir))

        def of_hosts(count, read):
            shards = [Shard(index, count) for index in range(count)]
            return [{image.file.numpy() for _, image, _ in read(shard)} for shard in shards]

        for count in (2, 3):
            once = of_hosts(count, source.train.in_order)
            assert sum(map(len, once)) == len(set.union(*once)) == 1000
            batch_size = 10 * count
            drawn = of_hosts(
                count,
                lambda shard: source.train.shuffled(0, batch_size, 3, shard).take(300),  # noqa: B023
            )
            for i in range(count):
                assert drawn[i] <= once[i] and len(drawn[i]) >= 250

    def test_images_of_several_classes(self, data_dir):
        several = {"source": "tfds:several_digits", "data_dir": data_dir}
        message = "--train-split must have one class for each image"
        refused(message, train_split="validation", test_split="none", **several)
        data = Data(
            **several,
            train_split="none",
            test_split="validation",
            batch_size=30,
        )
        source = load_source(data)
        assert len(source.train) == 0 and len(source.class_names) == 10
        ((_, labels, weights),) = evaluation_batches(source.test, source, data)
        expected = np.zeros((30, 10))
        for i in range(30):
            if i % 3:
                expected[i, [i % 10, (i + 1) % 10]] = 1
        # The order in the files is not that in which they were made.
        assert sorted(map(tuple, labels.numpy())) == sorted(map(tuple, expected))
        np.testing.assert_array_equal(weights, labels.numpy().any(axis=1))

    def test_a_cache_gives_the_same_images_in_a_random_order(self, data_dir):
        data = Data(source="tfds:tiny_digits", data_dir=data_dir, cache="memory")
        source = load_source(data)
        near = cached(source, data)
        assert as_set(near.train) == as_set(source.train)
        np.testing.assert_array_equal(
            np.bincount(near.train.labels), np.bincount(examples(source.train)[1])
        )

    def test_what_is_wrong_is_named(self, data_dir):
        where = {"data_dir": data_dir}
        secret = {"source": "tfds:secret_digits", **where}
        refused("--test-split must have labels from 0 to 9. Received: .* a label of -1", **secret)
        refused("Did you mean tiny_digits", source="tfds:tiny_digit", **where)
        refused("TensorFlow Datasets says: .*9.9.9", source="tfds:cifar10:9.9.9", **where)
        tiny = {"source": "tfds:tiny_digits", **where}
        refused("--validation-split must have examples", validation_split="test[:0]", **tiny)
        refused("--test-split must be left out where", test_split="test")
        refused("Did you mean .*mnist", source="tfds:mnisst", **where)
        refused("Received: xqzw. See", source="tfds:xqzw", **where)
        named = {"source": "tfds:tiny_digits", **where}
        refused("--train-split must be a split of tiny_digits, .*train", train_split="tr", **named)
        refused("--test-split must be a split", test_split="validation", **named)


class TestPresets:
    @pytest.fixture
    def asked(self, monkeypatch):
        """What is asked of TensorFlow Datasets: name, and splits for training and so on."""
        requests = []

        def load(name, data):
            requests.append((name, data.train_split, data.validation_split, data.test_split))
            return digits.load(Data())

        monkeypatch.setattr(presets.tfds, "load", load)
        return requests

    @pytest.mark.parametrize(
        "name, expected",
        [
            ("imagenet", ("imagenet2012", "train[:99%]", "train[99%:]", "validation")),
            ("imagenet-real", ("imagenet2012_real", "none", "none", "validation")),
            ("cifar10", ("cifar10", "train[:98%]", "train[98%:]", "test")),
            ("cifar100", ("cifar100", "train[:98%]", "train[98%:]", "test")),
            ("pets", ("oxford_iiit_pet", "train[:90%]", "train[90%:]", "test")),
            ("flowers102", ("oxford_flowers102", "train[:90%]", "train[90%:]", "test")),
            ("fewshot-imagenet", ("imagenet2012", "train[:65000]", "none", "validation")),
            ("fewshot-caltech101", ("caltech101", "train", "none", "test")),
            ("fewshot-cars196", ("cars196", "train", "none", "test")),
            ("fewshot-cifar100", ("cifar100", "train", "none", "test")),
            ("fewshot-dtd", ("dtd", "train", "none", "test")),
            ("fewshot-pets", ("oxford_iiit_pet", "train", "none", "test")),
            ("fewshot-uc-merced", ("uc_merced", "train[:1000]", "none", "train[1000:]")),
        ],
    )
    def test_splits(self, name, expected, asked):
        load_source(Data(source=name))
        assert asked == [expected]

    def test_every_preset_is_a_set_that_is_known(self):
        import tensorflow_datasets as tfds

        assert {preset.name for preset in presets.PRESETS.values()} <= set(tfds.list_builders())

    def test_a_split_that_is_given_replaces_those_of_the_preset(self, asked):
        load_source(Data(source="pets", train_split="train"))
        load_source(Data(source="pets", validation_split="train[80%:]"))
        load_source(Data(source="pets", test_split="test[:10]"))
        assert asked == [
            ("oxford_iiit_pet", "train", "", "test"),
            ("oxford_iiit_pet", "train[:90%]", "train[80%:]", "test"),
            ("oxford_iiit_pet", "train[:90%]", "train[90%:]", "test[:10]"),
        ]

    def test_files_to_be_fetched_by_hand_are_named(self, tmp_path):
        refused("ILSVRC2012_img_train.tar", source="imagenet", data_dir=str(tmp_path))
