"""Names that people give to the splits of a dataset."""

import re

USUAL_NAMES = {
    "train": ("train", "training", "trn"),
    "validation": (
        *("validation", "validate", "valid", "val"),
        *("development", "dev", "evaluation", "eval"),
    ),
    "test": ("test", "testing", "tst"),
}
SPLITS = tuple(USUAL_NAMES)
RULE = "train, validation (or val, valid, dev, eval) or test, in any capitalization"
FILLERS = {"set", "split", "data", "dataset", "images"}  # as in `test_set` and `train-images`
_SPLIT_BY_NAME = {name: split for split, names in USUAL_NAMES.items() for name in names}


def find_split(name):
    """Return the split that `name` usually means, "train", "validation" or "test"; else None."""
    words = [word for word in words_of(name) if word not in FILLERS]
    return _SPLIT_BY_NAME.get(words[0].removesuffix("set")) if len(words) == 1 else None


def words_of(name):
    """Return the words of a name in lower case: `Test-Set` has `test` and `set`."""
    return [word for word in re.split(r"[\W_]+", name.casefold()) if word]
