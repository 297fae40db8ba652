"""Recognition of weight files by content, and refusal of invalid ones before they are used."""

import io
import json
import pickle
import resource
import struct
import time
import zipfile

import h5py
import numpy as np
import pytest
import safetensors.numpy

from keras_mixer.weights.formats import WeightsError, open_arrays
from keras_mixer.weights.layouts import LAYOUTS, recognize
from tests.support.models import random_arrays, randomize, small_architecture, small_mixer
from tests.support.special_files import SPECIAL, make_special

pytestmark = pytest.mark.backend("torch")  # files are read without a backend

ARCHITECTURE = small_architecture()
FORMATS = ("model.npz", "model.safetensors", "model.weights.h5", "model.keras")


def write(path, arrays):
    """Write arrays with canonical names in the format of the suffix."""
    if path.suffix == ".npz":
        np.savez(path, **arrays)
    elif path.suffix == ".safetensors":
        safetensors.numpy.save_file(arrays, path)
    else:
        with h5py.File(path, "w") as file:
            for name, array in arrays.items():
                file[LAYOUTS["keras"].rename(name)] = array
    return path


def read_all(path, architecture=ARCHITECTURE):
    """Return the arrays of a file as a model reads them."""
    with open_arrays(path) as arrays:
        file = recognize(arrays)
        file.check(architecture.shapes())
        return {name: file.read(name) for name in architecture.shapes()}


@pytest.fixture
def arrays():
    return random_arrays(ARCHITECTURE.shapes())


@pytest.fixture(scope="module")
def valid_files(tmp_path_factory):
    """One valid file of each format, and its arrays."""
    folder = tmp_path_factory.mktemp("valid")
    model = small_mixer()
    arrays = randomize(model)
    model.save(folder / "model.keras")
    model.save_weights(folder / "model.weights.h5")
    np.savez(folder / "model.npz", **arrays)
    safetensors.numpy.save_file(arrays, folder / "model.safetensors")
    np.savez_compressed(folder / "compressed.npz", **arrays)
    entries = {name: f"trainable/{i}" for i, name in enumerate(arrays)}
    members = {f"{entry}.npy": npy(arrays[name]) for name, entry in entries.items()}
    members["progress.json"] = json.dumps({"weights": entries}).encode()
    (folder / "checkpoint.npz").write_bytes(zip_of(members))
    return folder, arrays


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("suffix", ["", ".weights", ".npz", ".safetensors", ".keras", ".h5"])
def test_a_format_is_recognized_by_content(name, suffix, valid_files, tmp_path):
    folder, arrays = valid_files
    path = tmp_path / f"renamed{suffix}"
    path.write_bytes((folder / name).read_bytes())
    found = read_all(path)
    assert found.keys() == arrays.keys()
    for key, array in arrays.items():
        np.testing.assert_array_equal(found[key], array)


def test_compressed_and_fortran_ordered_npz(tmp_path, arrays):
    path = tmp_path / "model.npz"
    np.savez_compressed(path, **{name: np.asfortranarray(a) for name, a in arrays.items()})
    for name, array in read_all(path).items():
        np.testing.assert_array_equal(array, arrays[name])


class Bomb:
    """Unpickling this object creates a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def changed(arrays, name, array):
    return {**arrays, name: array}


NONE = np.zeros(0, "float32")
BAD_ARRAYS = {
    "missing": (lambda a: {k: v for k, v in a.items() if k != "head/bias"}, "1 missing: {head}"),
    "missing size": (
        lambda a: {k: v for k, v in a.items() if "token_mixing/Dense_0/kernel" not in k},
        "which shows a size of the model, is missing",
    ),
    "extra": (
        lambda a: changed(a, "MixerBlock_0/extra/kernel", a["head/bias"]),
        "1 unexpected: {extra}",
    ),
    "another block": (
        lambda a: changed(a, "MixerBlock_7/LayerNorm_0/bias", a["stem/bias"]),
        "1 unexpected",
    ),
    "misshapen": (
        lambda a: changed(a, "stem/bias", np.zeros(17, "float32")),
        r"1 misshapen: {stem} \(17,\) instead of \(16,\)",
    ),
    "rank": (
        lambda a: changed(a, "stem/kernel", a["stem/kernel"][0]),
        r"which shows a size of the model, is of shape \(4, 3, 16\)",
    ),
    "nan": (
        lambda a: changed(a, "head/bias", np.float32([0, 1, 2, np.nan, 4])),
        "{head}' holds values that are not finite",
    ),
    "infinite": (
        lambda a: changed(a, "head/bias", np.float32([0, 1, -np.inf, 3, 4])),
        "{head}' holds values that are not finite",
    ),
    "half": (
        lambda a: changed(a, "head/bias", a["head/bias"].astype("float16")),
        "{head}' holds (float16|F16), not float32",
    ),
    "double": (
        lambda a: changed(a, "head/bias", a["head/bias"].astype("float64")),
        "{head}' holds (float64|F64), not float32",
    ),
    "zero classes": (
        lambda a: changed(changed(a, "head/kernel", a["head/kernel"][:, :0]), "head/bias", NONE),
        r"which shows a size of the model, is of shape \(16, 0\)",
    ),
    "zero patches": (
        lambda a: changed(a, "MixerBlock_0/token_mixing/Dense_0/kernel", np.zeros((0, 8), "f4")),
        r"which shows a size of the model, is of shape \(0, 8\)",
    ),
    "zero pixels": (
        lambda a: changed(a, "stem/kernel", np.zeros((0, 4, 3, 16), "f4")),
        r"which shows a size of the model, is of shape \(0, 4, 3, 16\)",
    ),
    "empty": (
        lambda a: changed(a, "stem/bias", NONE),
        r"1 misshapen: {stem} \(0,\) instead of \(16,\)",
    ),
    "scalar": (
        lambda a: changed(a, "stem/bias", np.array(1, "float32")),
        r"1 misshapen: {stem} \(\) instead of \(16,\)",
    ),
    "none": (lambda a: {}, "does not hold a Mixer in a known layout.*0 arrays"),
    "another model": (
        lambda a: {"conv1/kernel": a["stem/kernel"]},
        "does not hold a Mixer in a known layout",
    ),
}


@pytest.mark.parametrize("suffix", [".npz", ".safetensors", ".h5"])
@pytest.mark.parametrize("case", BAD_ARRAYS)
def test_bad_arrays(case, suffix, arrays, tmp_path):
    change, message = BAD_ARRAYS[case]
    rename = LAYOUTS["keras" if suffix == ".h5" else "google"].rename
    path = write(tmp_path / f"bad{suffix}", change(arrays))
    message = message.format(
        head=rename("head/bias"),
        stem=rename("stem/bias"),
        extra=rename("MixerBlock_0/extra/kernel"),
    )
    with pytest.raises(WeightsError, match=rf"bad{suffix}'.*{message}"):
        read_all(path)


# Other kinds of numbers than float32 in native byte order, and what a message calls them.
BAD_DTYPES = {
    "?": "(bool|BOOL)",
    "u1": "(uint8|U8)",
    "i4": "(int32|I32)",
    "u8": "(uint64|U64)",
    "f2": "(float16|F16)",
    "f8": "(float64|F64)",
    "c8": "(complex64|C64)",
    ">f4": "float32 in foreign byte order",
    "S4": "bytes32",
    "V4": "void32",
    "a:f4": "void32",
}


@pytest.mark.parametrize(
    "suffix, dtype",
    [
        (suffix, dtype)
        for suffix in (".npz", ".safetensors", ".h5")
        for dtype, name in BAD_DTYPES.items()
        if suffix != ".safetensors" or name.startswith("(")
    ],
)
def test_other_numbers_than_float32(suffix, dtype, arrays, tmp_path):
    bias = np.zeros(5, [("a", "f4")] if dtype == "a:f4" else dtype)
    path = write(tmp_path / f"bad{suffix}", changed(arrays, "head/bias", bias))
    message = rf"(bias|vars/1)' holds {BAD_DTYPES[dtype]}, not float32"
    with pytest.raises(WeightsError, match=message):
        read_all(path)


def test_bfloat16(tmp_path):
    """NumPy has no such type, so that it is known by its name alone."""
    header = {"head/bias": {"dtype": "BF16", "shape": [5], "data_offsets": [0, 10]}}
    content = json.dumps(header).encode()
    path = tmp_path / "model.safetensors"
    path.write_bytes(struct.pack("<Q", len(content)) + content + bytes(10))
    with open_arrays(path) as arrays:
        assert arrays.dtypes == {"head/bias": "BF16"}


def zip_of(members, compression=zipfile.ZIP_STORED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def npy(array, **header):
    """Return an array in npy format, with some of its header changed."""
    buffer = io.BytesIO()
    fields = np.lib.format.header_data_from_array_1_0(array) | header
    np.lib.format.write_array_header_1_0(buffer, fields)
    return buffer.getvalue() + array.tobytes()


ONE = np.ones(4, "float32")
BAD_BYTES = {
    "empty": (b"", "is empty"),
    "text": (b"<html><title>404 Not Found</title></html>", "is of no known format"),
    "short": (b"PK", "cannot be read as a zip archive"),
    "one array": (npy(ONE), "is of no known format"),
    "pickle": (pickle.dumps({"stem": 1}), "is a Python pickle"),
    "torch": (zip_of({"archive/data.pkl": b"", "archive/data/0": b""}), "is a Python pickle"),
    "zip of texts": (zip_of({"a.txt": b"a"}), "'a.txt', which is not an array"),
    "cut array": (zip_of({"stem/kernel.npy": npy(ONE)[:-1]}), "not as long as its shape"),
    "long array": (zip_of({"stem/kernel.npy": npy(ONE) + b"?"}), "not as long as its shape"),
    "huge claim": (
        zip_of({"stem/kernel.npy": npy(ONE, shape=(2**40, 2**20))}),
        "not as long as its shape",
    ),
    "negative": (zip_of({"stem/kernel.npy": npy(ONE, shape=(-2, -2))}), r"the shape \(-2, -2\)"),
    "twice": (
        zip_of({"stem/kernel.npy": npy(ONE), "stem/kerneL.npy": npy(ONE)}).replace(b"neL", b"nel"),
        "holds 'stem/kernel.npy' twice",
    ),
    "control characters": (
        zip_of({"\x1b[2Jé.npy": npy(ONE)}),
        r"1 arrays: \\x1b\[2Jé\.",
    ),
    "objects": (zip_of({"stem/kernel.npy": npy(ONE, descr="|O")}), "holds Python objects"),
    "compressed by another method": (
        zip_of({"stem/kernel.npy": npy(ONE)}, zipfile.ZIP_BZIP2),
        "compressed with method",
    ),
    "cut header": (struct.pack("<Q", 5) + b'{"a":', "cannot be read as safetensors"),
    "keras without weights": (
        zip_of({"config.json": b"{}", "model.weights.h5": b"?"}),
        "cannot be read as keras",
    ),
}


@pytest.mark.parametrize("case", BAD_BYTES)
def test_bad_bytes(case, tmp_path):
    content, message = BAD_BYTES[case]
    path = tmp_path / "bad.npz"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=rf"bad.npz'.*{message}") as error:
        read_all(path)
    assert "delete" not in str(error.value).lower()  # the user decides


@pytest.mark.parametrize("name", FORMATS)
def test_truncated_files(name, valid_files, tmp_path):
    content = (valid_files[0] / name).read_bytes()
    path = tmp_path / name
    for length in (1, 7, 20, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:length])
        with pytest.raises(WeightsError, match=name):
            read_all(path)


@pytest.mark.parametrize("name", ["model.npz", "model.keras"])
def test_the_checksum_of_a_zip_finds_altered_bytes(name, valid_files, tmp_path):
    content = bytearray((valid_files[0] / name).read_bytes())
    array = valid_files[1]["MixerBlock_1/channel_mixing/Dense_1/kernel"].tobytes()
    content[content.index(array) + 100] ^= 1
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(WeightsError, match="CRC"):
        read_all(path)


def test_an_array_of_objects_is_not_unpickled(tmp_path, arrays):
    trace = tmp_path / "trace"
    path = tmp_path / "bad.npz"
    objects = np.empty(5, object)
    objects[:] = [Bomb(trace)] * 5
    np.savez(path, **changed(arrays, "head/bias", objects))
    with pytest.raises(WeightsError, match="'head/bias' holds Python objects"):
        read_all(path)
    assert not trace.exists()


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".bin", ".pkl", ".ckpt"])
def test_a_pickle_is_refused_by_name(suffix, tmp_path):
    trace = tmp_path / "trace"
    path = tmp_path / f"model{suffix}"
    path.write_bytes(pickle.dumps(Bomb(trace)))
    with pytest.raises(WeightsError, match="never opened here.*safetensors"):
        read_all(path)
    path.unlink()
    with pytest.raises(WeightsError, match="never opened here"):
        read_all(path)
    assert not trace.exists()


@pytest.mark.parametrize("suffix", ["", ".npz", ".safetensors", ".weights.h5", ".keras"])
@pytest.mark.parametrize("kind", SPECIAL)
def test_what_is_no_regular_file(kind, suffix, tmp_path):
    path = make_special(kind, tmp_path / f"model{suffix}")
    with pytest.raises(WeightsError, match=f"is not a regular file but {SPECIAL[kind]}. Name one"):
        read_all(path)


def test_a_missing_file(tmp_path):
    with pytest.raises(WeightsError, match="nowhere.npz' *: does not exist"):
        read_all(tmp_path / "nowhere.npz")
    with pytest.raises(WeightsError, match="cannot be opened: embedded null"):
        read_all(f"{tmp_path}/a\0b.npz")


def test_a_zip_made_to_exhaust_memory(tmp_path):
    path = tmp_path / "bomb.npz"
    zeros = npy(np.zeros(2**22, "float32"))
    members = {f"{i}.npy": zeros for i in range(4)}
    path.write_bytes(zip_of(members, zipfile.ZIP_DEFLATED))
    message = "claims to hold 67,109,376, more than weights can be compressed to"
    with pytest.raises(WeightsError, match=message):
        read_all(path)
    path.write_bytes(zip_of({"stem/kernel.npy": zeros}, zipfile.ZIP_DEFLATED))
    with pytest.raises(WeightsError, match="is of shape"):  # before 16 MiB are made of it
        read_all(path)
    claim = struct.pack("<L", len(zeros))
    path.write_bytes(path.read_bytes().replace(claim, struct.pack("<L", 2**31)))
    with pytest.raises(WeightsError, match="claims to hold 2,147,483,648, more than weights"):
        read_all(path)


def test_members_of_a_zip_cannot_overlap(tmp_path):
    content = zip_of({"stem/kernel.npy": npy(ONE)})
    directory = content.index(b"PK\1\2")
    larger = struct.pack("<LL", 2**20, 2**20)
    path = tmp_path / "bad.npz"
    path.write_bytes(content[: directory + 20] + larger + content[directory + 28 :])
    with pytest.raises(WeightsError, match="its members overlap"):
        read_all(path)


@pytest.mark.parametrize("case", ["chunks", "gzip", "virtual", "soft link", "unwritten"])
def test_h5_arrays_are_stored_plainly(case, tmp_path, arrays):
    path = write(tmp_path / "bad.h5", arrays)
    name = LAYOUTS["keras"].rename("MixerBlock_0/channel_mixing/Dense_0/kernel")
    with h5py.File(path, "r+") as file:
        array = file[name][()]
        del file[name]
        if case == "chunks":
            file.create_dataset(name, data=array, chunks=(4, 24))
        elif case == "gzip":
            file.create_dataset(name, data=array, compression="gzip")
        elif case == "virtual":
            layout = h5py.VirtualLayout(array.shape, array.dtype)
            layout[:] = h5py.VirtualSource(str(path), "other", array.shape)
            file.create_virtual_dataset(name, layout)
        elif case == "soft link":
            file["other"] = array
            file[name] = h5py.SoftLink("/other")
        else:
            file.create_dataset(name, array.shape, array.dtype)
    message = {"soft link": "is a link", "unwritten": "not as long as its shape"}
    with pytest.raises(WeightsError, match=message.get(case, "is not stored contiguously")):
        read_all(path)


def test_h5_arrays_cannot_overlap(tmp_path):
    """Many names of the same bytes would take many times the memory of the file."""
    path = tmp_path / "bad.h5"
    num_bytes = 2**14
    with h5py.File(path, "w") as file:
        file["layers/a"] = np.zeros(num_bytes // 4, "float32")
        for name in "bcd":
            file.create_dataset(f"layers/{name}", (num_bytes // 4,), "float32")
        place = file["layers/a"].id.get_offset()
    nowhere, there = (struct.pack("<QQ", where, num_bytes) for where in (2**64 - 1, place))
    path.write_bytes(path.read_bytes().replace(nowhere, there))
    with h5py.File(path) as file:
        assert all(file[f"layers/{name}"].id.get_offset() == place for name in "abcd")
    with pytest.raises(WeightsError, match="its arrays overlap"):
        read_all(path)


def test_h5_files_cannot_read_other_files(tmp_path, arrays):
    """External links and external storage could read any file."""
    other = write(tmp_path / "other.h5", arrays)
    path = write(tmp_path / "bad.h5", arrays)
    name = LAYOUTS["keras"].rename("head/bias")
    with h5py.File(path, "r+") as file:
        del file[name]
        file[name] = h5py.ExternalLink(str(other), name)
    with pytest.raises(WeightsError, match=f"{name} is a link"):
        read_all(path)
    with h5py.File(path, "r+") as file:
        del file[name]
        file.create_dataset(name, (5,), "float32", external=[(str(other), 0, 20)])
    with pytest.raises(WeightsError, match=f"{name}' is not stored contiguously in the file"):
        read_all(path)


def test_the_state_of_an_optimizer_is_ignored(tmp_path):
    model = small_mixer()
    model.compile("adam", "mse")
    model.train_on_batch(np.zeros((1, 8, 12, 3)), np.zeros((1, 5)))
    model.save(tmp_path / "model.keras")
    assert read_all(tmp_path / "model.keras").keys() == ARCHITECTURE.shapes().keys()


def test_a_keras_file_with_a_corrupt_configuration(valid_files, tmp_path):
    source = zipfile.ZipFile(valid_files[0] / "model.keras")
    members = {name: source.read(name) for name in source.namelist()}
    path = tmp_path / "bad.keras"
    path.write_bytes(zip_of({**members, "config.json": b"{"}))
    with pytest.raises(WeightsError, match="bad.keras"):
        read_all(path)
    assert json.loads(members["config.json"])["class_name"] == "Functional"


def mutate(rng, content):
    """Return bytes with one to four random alterations."""
    content = bytearray(content)
    for _ in range(rng.integers(1, 5)):
        start = int(rng.integers(len(content)))
        if rng.random() < 0.5:  # where names, shapes and sizes are
            start = min(start, int(rng.integers(4096)))
            start = start if rng.random() < 0.5 else len(content) - 1 - start
        length = int(rng.integers(1, 9))
        kind = rng.integers(6)
        if kind == 0:
            content[start] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            content[start : start + length] = rng.bytes(length)
        elif kind == 2:
            content[start : start + length] = bytes([int(rng.choice([0, 255]))]) * length
        elif kind == 3:
            del content[start : start + length]
        elif kind == 4:
            content[start:start] = content[start : start + int(rng.integers(1, 200))]
        else:
            content = content[: max(start, 1)]
    return bytes(content)


def fuzz(content, path, mutations, seed):
    """Read mutations of a file; return how many are still valid, and the longest time."""
    rng = np.random.default_rng(seed)
    valid, slowest = 0, 0.0
    for _ in range(mutations):
        path.write_bytes(mutate(rng, content))
        began = time.perf_counter()
        try:
            read_all(path)
            valid += 1
        except WeightsError as error:
            assert path.name in str(error)
        slowest = max(slowest, time.perf_counter() - began)
    return valid, slowest


@pytest.mark.parametrize("name", [*FORMATS, "compressed.npz", "checkpoint.npz"])
@pytest.mark.parametrize("mutations", [1_000, pytest.param(10_000, marks=pytest.mark.slow)])
@pytest.mark.long
def test_fuzz(name, mutations, valid_files, tmp_path):
    content = (valid_files[0] / name).read_bytes()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    valid, slowest = fuzz(content, tmp_path / name, mutations, seed=mutations)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(f"{name}: {valid} of {mutations} still valid, slowest {slowest:.3f} s, {grown:.0f} MiB")
    assert valid < mutations
    assert grown < 256
    assert slowest < 10


def test_a_compressed_keras_file_that_would_fill_the_disk(valid_files, tmp_path):
    """Keras writes its zip archives uncompressed."""
    source = zipfile.ZipFile(valid_files[0] / "model.keras")
    members = {name: source.read(name) for name in source.namelist()}
    (tmp_path / "bad.keras").write_bytes(zip_of(members, zipfile.ZIP_DEFLATED))
    with pytest.raises(WeightsError, match="bad.keras.*is compressed with method 8, which is not"):
        read_all(tmp_path / "bad.keras")


@pytest.mark.filterwarnings("ignore")  # Keras's own, about the legacy format
@pytest.mark.parametrize("weights_only", [False, True])
def test_the_legacy_format_of_keras_is_refused_by_name(weights_only, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = small_mixer()
    arrays = randomize(model)
    model.save("model.h5")
    if weights_only:  # as Keras 2 wrote it
        with h5py.File("model.h5", "r") as whole, h5py.File("weights.h5", "w") as file:
            file.attrs["layer_names"] = whole["model_weights"].attrs["layer_names"]
    with pytest.raises(WeightsError, match=r"legacy format.*not read.*as \.keras") as refusal:
        small_mixer(weights="weights.h5" if weights_only else "model.h5")
    if not weights_only:
        exec(str(refusal.value).partition("if you trust it: ")[2].rstrip("."))
        loaded = small_mixer(weights="model.keras")
        np.testing.assert_array_equal(
            loaded.get_layer("stem").get_weights()[0], arrays["stem/kernel"]
        )
