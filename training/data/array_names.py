"""Names that people give to the arrays of a dataset: `x_train`, `train_images`, `X_val`."""

from training.data.array_checks import refuse_array
from training.data.split_names import find_split, words_of

IMAGES = {"x", "image", "images", "img", "imgs"}
LABELS = {"y", "label", "labels", "target", "targets"}
CLASS_NAMES = {"class_names", "classes", "label_names", "target_names"}


def sort_arrays(path, names):
    """Return the names of the arrays in a file by what they are.

    Args:
        path: Path of the file, for messages.
        names: Names of all its arrays.

    Returns:
        `{split: {"images": name, "labels": name}}`, and the name of the class names or None.
        Without the name of a split, as `x` and `y`, arrays are those of "train".

    Raises:
        UserError: If a name is not understood, or two have the same meaning.
    """
    splits: dict[str, dict[str, str]] = {}
    class_names = None
    for name in names:
        if name.casefold() in CLASS_NAMES:
            other, class_names = class_names, name
        else:
            kind, split = _find_kind(name)
            if kind is None:
                refuse_array(
                    path,
                    "must contain only arrays of images, labels and class names",
                    name,
                    f"Leave {name} out, or name it after its kind and its split, as x_train and "
                    "y_train, x_val and y_val, x_test and y_test, or class_names.",
                )
            own = splits.setdefault(split, {})
            other, own[kind] = own.get(kind), name
        if other:
            refuse_array(
                path,
                "must contain one array of each kind",
                f"{other} and {name}, which mean the same",
                "Leave one of them out, or concatenate them.",
            )
    return splits, class_names


def _find_kind(name):
    """Return "images" or "labels", or None, and the split."""
    words = words_of(name)
    if len(words) == 1 and words[0] not in IMAGES | LABELS:  # trainX, xtrain
        (word,) = words
        words = [word[0], word[1:]] if word[0] in "xy" else [word[:-1], word[-1]]
    for kind, kind_names in (("images", IMAGES), ("labels", LABELS)):
        rest = [word for word in words if word not in kind_names]
        if len(rest) < len(words):
            split = find_split("_".join(rest)) if rest else "train"
            return (kind, split) if split else (None, None)
    return None, None
