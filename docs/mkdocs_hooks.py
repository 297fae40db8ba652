"""Hooks of MkDocs (see mkdocs.yml): what the site takes from outside of `docs/`.

README.md is its first page, CHANGELOG.md another, and what pages link to there comes along.
A command that ends in `--help`, alone in a fence, is followed by what it prints.
"""

import os
import posixpath
import re
import subprocess
import sys
from pathlib import Path

from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parent.parent
PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
}
LINK = re.compile(r'(\]\(|(?:src|href)=")([^)"#\s:]+)')
HELP = re.compile(r"(^```\n(?:\S+/)?python -m ([^\n]+ --help)\n)```$", re.MULTILINE)


def on_files(files, config):
    """Add the pages that lie outside of `docs/`."""
    for source, page in PAGES.items():
        if (ROOT / source).exists():
            files.append(File.generated(config, page, abs_src_path=str(ROOT / source)))
    return files


def on_page_markdown(markdown, page, config, files):
    """Let links lead to where their targets are in the site, and show helps."""
    source = Path(page.file.abs_src_path).relative_to(ROOT)

    def replaced(match):
        target = posixpath.normpath(posixpath.join(source.parent.as_posix(), match[2]))
        return match[1] + _in_site(target, match[2], page, config, files)

    return HELP.sub(_with_help, LINK.sub(replaced, markdown))


def _in_site(target, link, page, config, files):
    """Return the link to a path of the repository from a page of the site."""
    if target.startswith("../") or not (ROOT / target).is_file():
        return link  # into the site itself, or of something that is no link
    if target in PAGES:
        place = PAGES[target]
    elif target.startswith("docs/"):
        place = target.removeprefix("docs/")
    else:
        place = target
        if place not in files.src_uris:
            files.append(File.generated(config, place, abs_src_path=str(ROOT / target)))
    return posixpath.relpath(place, posixpath.dirname(page.file.src_uri) or ".")


def _with_help(match):
    environment = {**os.environ, "COLUMNS": "100", "PYTHONPATH": str(ROOT)}
    shown = subprocess.run(
        [sys.executable, "-m", *match[2].split()],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return f"{match[1]}\n{shown.rstrip()}\n```"
