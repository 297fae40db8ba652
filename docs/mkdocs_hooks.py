"""MkDocs hooks (see mkdocs.yml): pages from outside `docs/`, and the output of `--help`.

README.md is the first page; CONTRIBUTING.md, CHANGELOG.md and the files that pages link to are
added as well. A fence with a single command that ends in `--help` shows its output too.
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
    """Add the pages that are outside `docs/`."""
    for source, page in PAGES.items():
        if (ROOT / source).exists():
            files.append(File.generated(config, page, abs_src_path=str(ROOT / source)))
    return files


def on_page_markdown(markdown, page, config, files):
    """Rewrite links to their targets in the site, and add the output of `--help` commands."""
    source = Path(page.file.abs_src_path).relative_to(ROOT)

    def rewrite(match):
        target = posixpath.normpath(posixpath.join(source.parent.as_posix(), match[2]))
        return match[1] + _in_site(target, match[2], page, config, files)

    return HELP.sub(_with_help, LINK.sub(rewrite, markdown))


def _in_site(target, link, page, config, files):
    """Return the link from a page of the site to a file of the repository."""
    if target.startswith("../") or not (ROOT / target).is_file():
        return link  # to a page of the site, or to no file
    if target in PAGES:
        uri = PAGES[target]
    elif target.startswith("docs/"):
        uri = target.removeprefix("docs/")
    else:
        uri = target
        if uri not in files.src_uris:
            files.append(File.generated(config, uri, abs_src_path=str(ROOT / target)))
    return posixpath.relpath(uri, posixpath.dirname(page.file.src_uri) or ".")


def _with_help(match):
    environment = {**os.environ, "COLUMNS": "100", "PYTHONPATH": str(ROOT)}
    output = subprocess.run(
        [sys.executable, "-m", *match[2].split()],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return f"{match[1]}\n{output.rstrip()}\n```"
