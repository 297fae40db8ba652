"""Files and folders that operating systems and tools leave beside the images of users."""

NAMES = {
    *("__macosx", "icon\r"),  # macOS; what begins with a dot, such as .DS_Store, is litter too
    *("thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "picasa.ini"),
    *("$recycle.bin", "system volume information", "lost+found"),
    *("@eadir", "@recycle", "#recycle", "#snapshot"),  # of network storage
    "__pycache__",
}
# Files beside the folders of classes that describe a dataset, and hold no images.
DOCUMENTS = (
    *("", ".txt", ".md", ".rst", ".pdf", ".html", ".xml", ".bib"),
    *(".csv", ".tsv", ".json", ".jsonl", ".yaml", ".yml", ".toml", ".log", ".sh", ".py", ".ipynb"),
)


def is_litter(path):
    """Return whether a path has a name that only operating systems and tools give."""
    return path.name.startswith(".") or path.name.casefold() in NAMES


def is_document(path):
    """Return whether a path is a file about images by its suffix, such as `labels.csv`."""
    return path.is_file() and path.suffix.lower() in DOCUMENTS
