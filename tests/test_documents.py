"""The site, the model cards and the citation: complete, without dead links, true to the code."""

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
SITE_NAMES = {"README.md": "index.html"}  # of pages with another name in the site
FENCE = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)
# What TensorFlow prints, mostly about GPUs, when the site's builder imports its kernels
TENSORFLOW = re.compile(r"[IWE]\d{4} \d\d:|WARNING: All log messages before absl::")
LINK = re.compile(r'(?:\]\(|(?:src|href)=")([^)"\s]+)')


def page_id(path):
    return str(path.relative_to(ROOT))


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of the built site. Warnings are errors."""
    folder = tmp_path_factory.mktemp("site")
    result = subprocess.run(  # --quiet would not count warnings
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", folder],
        cwd=ROOT,
        # The variable silences a message of the theme about its successor.
        env={**os.environ, "PYTHONPATH": str(ROOT), "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )
    output = (result.stdout + result.stderr).splitlines()
    output = [line for line in output if not TENSORFLOW.match(line)]
    assert not [line for line in output if not line.startswith("INFO ")]
    assert result.returncode == 0
    return folder


def words(page):
    """Return the text of an HTML page on one line."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", "", page.read_text())).split())


def public_names():
    """Return `{dotted name: object}` of the public names."""
    names = {f"keras_mixer.{name}": getattr(keras_mixer, name) for name in keras_mixer.__all__}
    module = names.pop("keras_mixer.preprocessing")
    return {**names, "keras_mixer.preprocessing.prepare_image": module.prepare_image}


@pytest.mark.parametrize("name", public_names())
def test_the_reference_has_every_public_name(site, name):
    pages = [p for p in site.glob("api/*.html") if f'id="{name}"' in p.read_text()]
    assert len(pages) == 1
    text = words(pages[0])
    value, short = public_names()[name], name.rpartition(".")[2]
    function = value.__init__ if isinstance(value, type) else value
    arguments = function.__code__.co_varnames[: function.__code__.co_argcount]
    signature = re.search(rf"\b{short}\(([^¶]*?)\)? (?=[A-Z])", text)[1]
    for argument in arguments:
        assert argument == "self" or re.search(rf"\b{argument}\b", signature), argument
    first = " ".join(value.__doc__.partition("\n\n")[0].split()).replace("`", "")
    assert first in text


def test_a_signature_shows_the_defaults(site):
    """Each constructor has its own signature, model name and example."""
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
    assert "Number of latest checkpoints to keep" in words(site / "api" / "training.html")


def test_the_reference_has_the_command_line(site):
    text = words(site / "api" / "command_line.html")
    assert "usage: python -m keras_mixer convert [-h] [--layout {google,timm,pre-linen}]" in text


@pytest.mark.parametrize("path", PAGES, ids=page_id)
def test_every_page_is_in_the_site_and_its_navigation(site, path):
    name = page_id(path).removeprefix("docs/")
    uri = SITE_NAMES.get(name, name.removesuffix(".md") + ".html")
    if path.parent == ROOT:
        uri = uri.lower()
    assert (site / uri).exists()
    assert f'href="{uri}"' in (site / "index.html").read_text().partition("<article")[0]


def test_the_site_loads_nothing_from_other_hosts(site):
    for page in site.rglob("*.html"):
        assert not re.findall(r'<(?:script|img)[^>]*src="https?:', page.read_text()), page
        assert not re.findall(r'<link[^>]*rel="stylesheet"[^>]*href="https?:', page.read_text())


def anchors(path):
    """Return the anchors of the headings of a Markdown file, as on GitHub."""
    found = set()
    for heading in re.findall(r"^#+ (.+)$", FENCE.sub("", path.read_text()), re.MULTILINE):
        heading = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading)
        found.add(re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-"))
    return found


@pytest.mark.parametrize("path", PAGES, ids=page_id)
def test_links_have_targets(path):
    for link in LINK.findall(FENCE.sub("", path.read_text())):
        if re.match(r"[a-z]+:", link):
            continue  # another host
        target, _, anchor = link.partition("#")
        file = (path.parent / target).resolve() if target else path
        assert file.is_relative_to(ROOT) and file.exists(), link
        in_reference = anchor.startswith("keras_mixer.")  # checked by the build
        if anchor and not in_reference:
            assert anchor in anchors(file), link


FILE_NAME = re.compile(r"`((?:keras_mixer|training|tests|docs|notebooks)/[\w./]*)`")


@pytest.mark.parametrize("path", PAGES, ids=page_id)
def test_files_in_the_text_exist(path):
    for name in FILE_NAME.findall(path.read_text()):
        assert (ROOT / name).exists() or "my_" in name, name


FAMILIES = {"miil_in21k": "miil", "miil_in21k_ft_in1k": "miil"}  # other names have own cards


def card_of(checkpoint):
    return CARDS / f"{FAMILIES.get(checkpoint.name, checkpoint.name)}.md"


def rows(path):
    """Return the rows of the table of files in a card, as dictionaries."""
    section = path.read_text().partition("## Files\n")[2].partition("\n## ")[0]
    cells = [
        [cell.strip().replace("`", "") for cell in line.strip("|").split("|")]
        for line in section.splitlines()
        if line.startswith("|")
    ]
    heading, _, *body = cells
    return [dict(zip(heading, row, strict=True)) for row in body]


@pytest.mark.parametrize("card", sorted(CARDS.glob("*.md")), ids=page_id)
def test_a_card_lists_the_files_of_the_catalog(card):
    if card.name == "index.md":
        return
    architectures = {v.constructor_name: v for v in SIZES.values()}
    expected = []
    for c in CATALOG:
        if card_of(c) != card:
            continue
        shapes = architecture_of(architectures[c.variant], classes=c.classes).shapes()
        base_url = re.search(r"At `(\S+)`", card.read_text())[1]
        expected.append(
            {
                "file": c.url.removeprefix(base_url),
                "weights=": f'"{c.name}"',
                "variant": c.variant,
                "classes": str(c.classes),
                "parameters": f"{sum(map(math.prod, shapes.values())):,}",
                "bytes": f"{c.num_bytes:,}" if c.num_bytes else "not published",
            }
        )
    assert sorted(rows(card), key=str) == sorted(expected, key=str)


def test_every_family_has_a_complete_card():
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


def test_cards_agree_with_the_catalog():
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
    # Version 1.2.0 of the format requires these fields, in each reference too.
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
    assert citation["cff-version"] == "1.2.0"
    assert citation["authors"] == [{"name": "The keras_mixer authors"}]
    assert citation["type"] == "software" and citation["license"] == "Apache-2.0"
    assert "version" not in citation  # it is in keras_mixer.__version__ only
    (paper,) = citation["references"]
    assert {"type", "title", "authors"} <= paper.keys()
    assert paper["type"] == "article" and len(paper["authors"]) == 12
    for author in paper["authors"]:
        assert author.keys() == {"given-names", "family-names"}
    assert paper["identifiers"] == [{"type": "other", "value": "arXiv:2105.01601"}]
