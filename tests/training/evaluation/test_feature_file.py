"""Features of image files in a `.npy` file."""

import json

import numpy as np
import pytest

from training.evaluation.feature_file import feature_file

pytestmark = pytest.mark.backend("torch")  # no backend is involved


@pytest.mark.parametrize("sizes", [[], [0], [3], [4, 4, 0, 2], [1] * 120])
def test_rows_and_names_are_appended(tmp_path, sizes):
    values = np.random.default_rng(0).standard_normal((sum(sizes), 5)).astype("float32")
    names = [f'a "photo",\n {i} é' for i in range(len(values))]
    end = 0
    with feature_file(tmp_path / "photos.npy", 5) as append:
        for size in sizes:
            append(names[end : end + size], values[end : end + size])
            end += size
    found = np.load(tmp_path / "photos.npy", allow_pickle=False)
    assert (found.dtype, found.shape) == (np.float32, values.shape)
    np.testing.assert_array_equal(found, values)
    assert json.loads((tmp_path / "photos.json").read_text()) == names


def test_both_files_stay_as_they_were_if_the_work_fails(tmp_path):
    path = tmp_path / "photos.npy"
    with feature_file(path, 2) as append:
        append(["a"], np.ones((1, 2)))
    for error in (ValueError, KeyboardInterrupt):
        with pytest.raises(error), feature_file(path, 3) as append:
            append(["b"], np.zeros((1, 3)))
            raise error
    assert np.load(path).tolist() == [[1, 1]]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["photos.json", "photos.npy"]
