"""The site, the model cards and the citation: whole, without dead links, and true to the code."""

import dataclasses
import html
import math
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import keras_mixer
from keras_mixer.sizes import SIZES
from keras_mixer.weights.catalog import CATALOG
from tests.support.models import architecture_of
from training import config

pytestmark = pytest.mark.backend("torch")

ROOT = Path(__file__).resolve().parent.parent
CARDS = ROOT / "docs" / "model_cards"
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
PLACES = {"README.md": "index.html"}  # of pages that have other names in the site
FENCE = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r'(?:\]\(|(?:src|href)=")([^)"\s]+)')


def named(path):
    return str(path.relative_to(ROOT))


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of the built site. A warning is an error."""
    folder = tmp_path_factory.mktemp("site")
    result = subprocess.run(  # not --quiet, which would not count warnings
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", folder],
        cwd=ROOT,
        # The theme's remark on its successor, which is no warning about this site.
        env={**os.environ, "PYTHONPATH": str(ROOT), "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )
    printed = (result.stdout + result.stderr).splitlines()
    assert not [line for line in printed if not line.startswith("INFO ")]
    assert result.returncode == 0
    return folder


def words(page):
    """Return the text of a page of the site on one line."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", "", page.read_text())).split())


def public_names():
    """Return `{path: object}` of what users import."""
    names = {f"keras_mixer.{name}": getattr(keras_mixer, name) for name in keras_mixer.__all__}
    module = names.pop("keras_mixer.preprocessing")
    return {**names, "keras_mixer.preprocessing.prepare_image": module.prepare_image}


@pytest.mark.parametrize("name", public_names())
def test_the_reference_has_every_public_name(site, name):
    pages = [p for p in site.glob("api/*.html") if f'id="{name}"' in p.read_text()]
    assert len(pages) == 1
    text = words(pages[0])
    thing, short = public_names()[name], name.rpartition(".")[2]
    function = thing.__init__ if isinstance(thing, type) else thing
    arguments = function.__code__.co_varnames[: function.__code__.co_argcount]
    signature = re.search(rf"\b{short}\(([^¶]*?)\)? (?=[A-Z])", text)[1]
    for argument in arguments:
        assert argument == "self" or re.search(rf"\b{argument}\b", signature), argument
    first = " ".join(thing.__doc__.partition("\n\n")[0].split()).replace("`", "")
    assert first in text


def test_a_signature_shows_the_defaults(site):
    """Also of the constructors that a function makes, each with its own name and example."""
    text = words(site / "api" / "models.html")
    for variant in SIZES.values():
        name = variant.constructor_name
        start = text.index(f"{name}( include_top=True, include_preprocessing=True, weights=")
        own = text[start:].partition("keras_mixer.Mixer")[0]
        assert f'name="{name.replace("Mixer", "mixer_").lower()}"' in own
        assert f"Build Mixer-{variant.name}" in text[start:]


def test_the_reference_has_every_option(site):
    page = (site / "api" / "training.html").read_text()
    for part in (
        config.Config,
        config.Data,
        config.Augmentation,
        config.Model,
        config.Optimization,
        config.Checkpointing,
        config.Hardware,
    ):
        for field in dataclasses.fields(part):
            assert f'id="training.config.{part.__name__}.{field.name}"' in page
    assert "How many of the newest checkpoints are kept" in words(site / "api" / "training.html")


def test_the_reference_has_the_command_line(site):
    text = words(site / "api" / "command_line.html")
    assert "usage: python -m keras_mixer convert [-h] [--layout {google,timm,pre-linen}]" in text


@pytest.mark.parametrize("path", PAGES, ids=named)
def test_every_page_is_in_the_site_and_its_navigation(site, path):
    name = named(path).removeprefix("docs/")
    place = PLACES.get(name, name.removesuffix(".md") + ".html")
    if path.parent == ROOT:
        place = place.lower()
    assert (site / place).exists()
    assert f'href="{place}"' in (site / "index.html").read_text().partition("<article")[0]


def test_the_site_fetches_nothing_from_elsewhere(site):
    for page in site.rglob("*.html"):
        assert not re.findall(r'<(?:script|img)[^>]*src="https?:', page.read_text()), page
        assert not re.findall(r'<link[^>]*rel="stylesheet"[^>]*href="https?:', page.read_text())


def anchors(path):
    """Return the anchors of a Markdown file's headings, as GitHub makes them."""
    found = set()
    for heading in re.findall(r"^#+ (.+)$", FENCE.sub("", path.read_text()), re.MULTILINE):
        heading = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading)
        found.add(re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-"))
    return found


@pytest.mark.parametrize("path", PAGES, ids=named)
def test_links_lead_somewhere(path):
    for link in LINK.findall(FENCE.sub("", path.read_text())):
        if re.match(r"[a-z]+:", link):
            continue  # elsewhere
        target, _, anchor = link.partition("#")
        file = (path.parent / target).resolve() if target else path
        assert file.is_relative_to(ROOT) and file.exists(), link
        of_the_reference = anchor.startswith("keras_mixer.")  # which the build has checked
        if anchor and not of_the_reference:
            assert anchor in anchors(file), link


FAMILIES = {"miil_in21k": "miil", "miil_in21k_ft_in1k": "miil"}  # others are cards of their own


def card_of(checkpoint):
    return CARDS / f"{FAMILIES.get(checkpoint.name, checkpoint.name)}.md"


def rows(path):
    """Return the table of files of a card: a dictionary for each row."""
    section = path.read_text().partition("## Files\n")[2].partition("\n## ")[0]
    cells = [
        [cell.strip().replace("`", "") for cell in line.strip("|").split("|")]
        for line in section.splitlines()
        if line.startswith("|")
    ]
    heading, _, *body = cells
    return [dict(zip(heading, row, strict=True)) for row in body]


@pytest.mark.parametrize("card", sorted(CARDS.glob("*.md")), ids=named)
def test_the_files_of_a_card_are_those_of_the_catalog(card):
    if card.name == "index.md":
        return
    architectures = {v.constructor_name: v for v in SIZES.values()}
    expected = []
    for c in CATALOG:
        if card_of(c) != card:
            continue
        shapes = architecture_of(architectures[c.variant], classes=c.classes).shapes()
        place = re.search(r"At `(\S+)`", card.read_text())[1]
        expected.append(
            {
                "file": c.url.removeprefix(place),
                "weights=": f'"{c.name}"',
                "variant": c.variant,
                "classes": str(c.classes),
                "parameters": f"{sum(map(math.prod, shapes.values())):,}",
                "bytes": f"{c.num_bytes:,}" if c.num_bytes else "not published",
            }
        )
    assert sorted(rows(card), key=str) == sorted(expected, key=str)


def test_every_family_has_a_whole_card():
    cards = {card_of(checkpoint) for checkpoint in CATALOG}
    assert {card.name for card in CARDS.glob("*.md")} == {"index.md", *(c.name for c in cards)}
    index = (CARDS / "index.md").read_text()
    for card in cards:
        assert f"({card.name})" in index
        text = card.read_text()
        for heading in (
            "Files",
            "License",
            "Training",
            "Evaluation",
            "Use",
            "Images and numerics",
            "Caveats",
        ):
            assert f"\n## {heading}\n" in text, (card, heading)


def test_cards_state_what_the_catalog_states():
    for checkpoint in CATALOG:
        text = card_of(checkpoint).read_text()
        for percent, _ in checkpoint.top1:
            assert f"{percent:g}" in text
        low, high = checkpoint.value_range
        assert f"ixels in [{low}, {high}]" in text
        assert ("GELU with the tanh" if checkpoint.approximate_gelu else "exact GELU (erf)") in text
        assert f'`prepare_image(…, "{checkpoint.transform}")`' in text or not checkpoint.top1


def test_the_citation():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    # Version 1.2.0 of the format requires these of a citation, and of each of its references.
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
    assert citation["cff-version"] == "1.2.0"
    assert citation["authors"] == [{"name": "The keras_mixer authors"}]
    assert citation["type"] == "software" and citation["license"] == "Apache-2.0"
    assert "version" not in citation  # keras_mixer.__version__ has it
    (paper,) = citation["references"]
    assert {"type", "title", "authors"} <= paper.keys()
    assert paper["type"] == "article" and len(paper["authors"]) == 12
    for author in paper["authors"]:
        assert author.keys() == {"given-names", "family-names"}
    assert paper["identifiers"] == [{"type": "other", "value": "arXiv:2105.01601"}]
