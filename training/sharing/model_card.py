"""Model card of a shared model: the README.md that says what it is and how to use it."""

import dataclasses
import math
import re

import keras_mixer
from keras_mixer.sizes import SIZES
from keras_mixer.weights.hub import Repository
from training.sharing.front_matter import front_matter
from training.sharing.origin import Origin
from training.sharing.shared_config import ANY_SIZE, SharedConfig

UNKNOWN_LICENSE = "unknown"  # as the Hub calls it
MOST_NAMES = 20  # classes in the card
LONGEST_CALL = 80  # characters
PAPER = "https://arxiv.org/abs/2105.01601"
ACCURACY = {"test_accuracy": "accuracy", "test_top5_accuracy": "top-5 accuracy"}


@dataclasses.dataclass(frozen=True)
class Card:
    """What a model card is made of.

    Args:
        title: Name of the folder or repository.
        repository: The `Repository` that it is uploaded to; None for a folder.
        config: The `SharedConfig`.
        class_names: Names of the classes.
        origin: The `Origin`.
        license: Identifier of the license, as the Hub spells it; "" if the user chose none.
        versions: `{package: version}` of what wrote it.
    """

    title: str
    repository: Repository | None
    config: SharedConfig
    class_names: tuple[str, ...]
    origin: Origin
    license: str
    versions: dict[str, str]

    def text(self):
        """Return the card in Markdown."""
        sections = {
            "Use": self._use(),
            "Images and numerics": _table(self._numerics()),
            "Classes": self._classes(),
            "Training": self._training(),
            "Evaluation": self._evaluation(),
            "License": self._license(),
            "Caveats": "\n".join(f"* {caveat}" for caveat in self._caveats()),
            "Versions": _table(self._versions()),
        }
        parts = [front_matter(self._metadata()), f"# {_plain(self.title)}", self._summary()]
        for heading, text in sections.items():
            parts += [f"## {heading}", text]
        return "\n\n".join(parts) + "\n"

    def _metadata(self):
        results = self._results()
        metadata = {
            "license": self.license or self._default_license(),
            "library_name": "keras_mixer",
            "pipeline_tag": "image-classification",
            "tags": ["image-classification", "mlp-mixer", "keras"]
            + (["timm"] if self.config.is_in_timm else []),
        }
        if self.origin.is_public:
            metadata["datasets"] = [_identifier(self.origin.source)]
        if results:
            name = self.origin.source
            task = {"type": "image-classification", "name": "Image classification"}
            dataset = {"name": name, "type": _identifier(name), "split": "test"}
            metrics = [
                {"type": "accuracy", "name": name, "value": value}
                for name, value in results.items()
            ]
            metadata["metrics"] = ["accuracy"]
            metadata["model-index"] = [
                {
                    "name": self.title,
                    "results": [{"task": task, "dataset": dataset, "metrics": metrics}],
                }
            ]
        return metadata

    def _default_license(self):
        """Return the license of published weights as they are; a run's result is its author's."""
        published = self.origin.published
        is_apache = published is not None and published.licence.startswith("Apache-2.0")
        return "apache-2.0" if is_apache and not self.origin.is_trained else UNKNOWN_LICENSE

    def _summary(self):
        config = self.config
        name = next(
            (f"Mixer-{s.name}" for s in SIZES.values() if s.constructor_name == config.constructor),
            "A Mixer of its own size",
        )
        height, width, channels = config.input_shape
        size = config.size
        return (
            f"{name} ([MLP-Mixer]({PAPER})) for images of {height} × {width} pixels with "
            f"{channels} channel{'s' * (channels > 1)}, and {config.classes:,} classes: patches of "
            f"{' × '.join(map(str, size.patch_size))} pixels, {size.num_blocks} blocks, C = "
            f"{size.hidden_dim}, D_S = {size.tokens_mlp_dim}, D_C = {size.channels_mlp_dim}."
        )

    def _use(self):
        height, width, channels = self.config.input_shape
        arguments = []
        if self.config.constructor == ANY_SIZE:
            sizes = dataclasses.asdict(self.config.size)
            arguments = [f"{name}={value!r}" for name, value in sizes.items()]
        weights, classes = "model.safetensors", '"class_names.json"'
        lines = ["import json", "", "import keras_mixer"]
        where = "In the folder of this card"
        if self.repository:
            name, revision = self.repository.name, self.repository.revision
            weights, where = str(self.repository), "With the extra `hub` of keras_mixer"
            at = f', revision="{revision}"' if revision else ""
            classes = f'hf_hub_download("{name}", "class_names.json"{at})'
            lines.append("from huggingface_hub import hf_hub_download")
        arguments.append(f'weights="{weights}"')
        if self.config.activation != "softmax":
            arguments.append(f'classifier_activation="{self.config.activation}"')
        first_channel = "[..., :1]" if channels == 1 else ""
        transform = f'"photo.jpg", "{self.config.transform}", ({height}, {width})'
        lines += [
            "",
            f"model = {_call(f'keras_mixer.{self.config.constructor}', arguments)}",
            f"image = keras_mixer.preprocessing.prepare_image({transform}){first_channel}",
            "probabilities = model.predict(image[None])[0]",
            f"with open({classes}) as file:",
            "    print(json.load(file)[probabilities.argmax()])",
        ]
        code = "\n".join(lines)
        model = str(self.repository) if self.repository else "."
        return (
            f"{where}:\n\n```python\n{code}\n```\n\n"
            f"`python -m training predict {model} photo.jpg` does the same, and `evaluate` and the "
            f"other commands take the model by the same name.\n\n{self._timm()}"
        )

    def _timm(self):
        exact = ""
        if self.config.approximate_gelu:
            exact = (
                "timm computes the exact GELU, and this model was trained with the tanh "
                "approximation: each activation differs by up to 0.0005."
            )
        if not self.config.is_in_timm:
            arguments = [f"{name}={v!r}" for name, v in self.config.timm_arguments().items()]
            code = _call("timm.models.mlp_mixer.MlpMixer", arguments)
            return (
                "The arrays have timm's names, which has no model of this size. It takes them with "
                f"`load_state_dict` of:\n\n```\n{code}\n```\n\n{exact}".rstrip()
            )
        model = f"hf-hub:{self.repository.name}" if self.repository else "local-dir:."
        call = f'timm.create_model("{model}", pretrained=True)'
        return f"timm loads it with `{call}`. {exact}".rstrip()

    def _numerics(self):
        low, high = self.config.value_range
        return {
            "transform of `keras_mixer.preprocessing`": f"`{self.config.transform}`",
            "input of the model": "pixels in [0, 255]",
            "range that it scales them to": f"[{low:g}, {high:g}]",
            "GELU": "tanh approximation" if self.config.approximate_gelu else "exact (erf)",
            "probabilities": self.config.activation,
            "weights": "float32",
        }

    def _classes(self):
        names = ", ".join(f"`{_plain(name)}`" for name in self.class_names[:MOST_NAMES])
        more = len(self.class_names) - MOST_NAMES
        return f"{names}{f' and {more:,} more' if more > 0 else ''}; see `class_names.json`."

    def _training(self):
        origin = self.origin
        if origin.config is None:
            if origin.start:
                return f"Shared again: see the card of {_plain(origin.start)}."
            if origin.published is None:
                return "Not recorded: the model was shared from a file, not from a training run."
            row = origin.published
            return f"Published weights, unchanged: `{row.name}` of `{row.variant}`, from {row.url}."
        settings = {f"`{name}`": f"`{_plain(v)}`" for name, v in origin.settings.items()}
        return (
            f"Trained on `{_plain(origin.source)}` with "
            f"`python -m training train`. Initial weights: {_plain(origin.start)}. Options that "
            f"differ from their defaults:\n\n{_table(settings)}"
        )

    def _results(self):
        """Return `{metric: value}` of the test split; empty if the model was not evaluated."""
        summary = self.origin.summary or {}
        values = {name: summary.get(key) for key, name in ACCURACY.items()}
        return {name: value for name, value in values.items() if _is_number(value)}

    def _evaluation(self):
        summary, published = self.origin.summary, self.origin.published
        if summary is not None:
            results = {name: f"{value:.4f}" for name, value in self._results().items()}
            results |= {"loss": f"{summary['test_loss']:.4f}"}
            source, number = _plain(self.origin.source), f"{summary['test_examples']:,}"
            return f"On the test split of `{source}`, {number} images:\n\n{_table(results)}"
        if published is None or self.origin.is_trained or not published.top1:
            return "Not recorded. Measure it: `python -m training evaluate`."
        listed = {f"ImageNet top-1, reported by {who}": f"{top1} %" for top1, who in published.top1}
        return f"Measured by others, and not for this card:\n\n{_table(listed)}"

    def _license(self):
        chosen = self.license or self._default_license()
        lines = [f"The weights: {chosen}."]
        if chosen == UNKNOWN_LICENSE:
            lines = ["The weights: who shared them stated no license, so none is granted."]
        published = self.origin.published
        if published is not None:
            verb = "were fine-tuned from" if self.origin.is_trained else "are"
            lines.append(
                f"They {verb} the published weights `{published.name}` of `{published.variant}`: "
                f"{published.licence}."
            )
        elif self.origin.start not in ("", "random"):
            lines.append(
                f"They were fine-tuned from {_plain(self.origin.start)}, with a license of its own."
            )
        return "\n".join([*lines, "The code of keras_mixer: Apache-2.0."])

    def _caveats(self):
        published = self.origin.published
        if published is not None and published.warning:
            yield f"`{published.name}` of `{published.variant}`: {published.warning}"
        summary = self.origin.summary or {}
        if summary.get("skipped_images"):
            yield f"{summary['skipped_images']} images of the dataset could not be read."
        if self.origin.source and not self.origin.is_public:
            yield "The dataset is not public, so the results cannot be repeated by others."
        yield "Normalization other than the one above, such as ImageNet's mean and std, is wrong."
        yield "The classes are all that the model knows; it names one of them for any image."
        yield "Bias, fairness and safety were not examined."

    def _versions(self):
        trained = (self.origin.summary or {}).get("versions")
        trained = trained if isinstance(trained, dict) else {}
        rows = {f"trained with {_plain(name)}": _plain(v) for name, v in trained.items()}
        return rows | {f"shared with {name}": version for name, version in self.versions.items()}


def versions():
    """Return `{package: version}` of this library and Keras."""
    import keras

    return {"keras_mixer": keras_mixer.__version__, "keras": keras.__version__}


def _call(function, arguments):
    """Return a call in Python, with an argument on each line if it is long."""
    call = f"{function}({', '.join(arguments)})"
    if len(call) <= LONGEST_CALL:
        return call
    return "\n".join([f"{function}(", *(f"    {argument}," for argument in arguments), ")"])


def _is_number(value):
    return isinstance(value, float | int) and math.isfinite(value)


def _table(rows):
    """Return `{name: value}` as a table in Markdown."""
    return "\n".join(["| | |", "|---|---|", *(f"| {k} | {v} |" for k, v in rows.items())])


def _plain(text):
    """Return text in one line without what Markdown and HTML take as markup."""
    text = "".join(c if c.isprintable() else " " for c in str(text))
    return re.sub(r"[`|<>\[\]\\]", "_", text)


def _identifier(name):
    """Return a name as an identifier, such as of a dataset: "tfds:my_set" as "my_set"."""
    return re.sub(r"[^A-Za-z0-9._/-]+", "-", name.removeprefix("tfds:")).strip("-") or "dataset"
