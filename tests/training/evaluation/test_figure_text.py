import warnings

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from training.evaluation.figure_text import drawable, short_name, short_path

pytestmark = pytest.mark.backend("torch")  # no backend is involved
NAMES = ["Zürich", "Ångström", "кот", "σκύλος", "$a$ 50 %", "back\\slash", "tab\there"]
NAMES += ["猫", "くま", "\U0001f431", "caf\udce9", "\x1b[31mred", "a\u202eb"]


def test_what_the_font_has_stays():
    for name in NAMES[:6]:
        assert drawable(name) == name
    assert drawable("one\ntwo") == "one\ntwo"


def test_what_it_does_not_have_is_escaped():
    assert drawable("猫 cat") == r"\u732b cat"
    assert drawable("caf\udce9") == r"caf\udce9"
    assert drawable("tab\there \x1b[31m") == r"tab\there \x1b[31m"
    assert drawable("\U0001f9ff") == r"\U0001f9ff"


def test_everything_is_drawn_without_a_warning(tmp_path):
    figure = Figure()
    FigureCanvasAgg(figure)
    for i, name in enumerate(NAMES):
        figure.text(0, i / len(NAMES), drawable(name), parse_math=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure.savefig(tmp_path / "names.png")


def test_long_names_lose_their_end_and_paths_their_start():
    assert short_name("a golden retriever", 18) == "a golden retriever"
    assert short_name("the golden retriever", 18) == "the golden retrie…"
    assert short_path("photos/test/dog/0001.png", 24) == "photos/test/dog/0001.png"
    assert short_path("more photos/test/dog/0001.png", 12) == "…og/0001.png"
    assert short_name("two\nlines", 9) == "two lines"
    assert len(short_name("猫" * 40, 18)) == len(short_path("猫" * 40, 18)) == 18
