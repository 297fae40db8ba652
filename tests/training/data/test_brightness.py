"""The range of values that images use."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from training.data.brightness import require_bright_files
from training.errors import UserError

pytestmark = pytest.mark.backend("torch")  # the same under every backend


def findings(bits, peak):
    return {Path("night/0.png"): SimpleNamespace(peak=peak, full=2**bits - 1)}


def test_one_dark_class_can_be_evaluated(capsys):
    require_bright_files("photos", findings(8, 59), is_all_test=True)
    assert "photos are almost black: their values reach 59 of 255" in capsys.readouterr().err
    require_bright_files("photos", findings(8, 64), is_all_test=True)
    assert not capsys.readouterr().err


@pytest.mark.parametrize("bits, peak, is_all_test", [(8, 59, False), (16, 4095, True)])
def test_almost_black_images_are_refused(bits, peak, is_all_test):
    with pytest.raises(UserError, match=f"Received: 1 images of {bits} bits with values up to"):
        require_bright_files("photos", findings(bits, peak), is_all_test)
