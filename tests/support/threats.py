"""Files that a stranger could have made: valid ones with a part that attacks."""

import copy
import json
import zipfile


def rewrite_archive(path, config=None, extra=()):
    """Rewrite a `.keras` file: another configuration, and members after its own.

    Args:
        path: Path of the file.
        config: Function that changes the configuration in place.
        extra: Pairs of a name and its content.
    """
    with zipfile.ZipFile(path) as archive:
        members = [(name, archive.read(name)) for name in archive.namelist()]
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members:
            if config and name == "config.json":
                changed = json.loads(content)
                config(changed)
                content = json.dumps(changed)
            archive.writestr(name, content)
        for name, content in extra:
            archive.writestr(name, content)


def layer_of(config, name):
    """Return the entry of a layer in the configuration of a model."""
    (entry,) = (x for x in config["config"]["layers"] if x["config"]["name"] == name)
    return entry


def append_layer(config, module, class_name, arguments):
    """Append a layer of another class to a Functional model; it takes and gives the outputs."""
    last = config["config"]["output_layers"]
    name = last[0] if isinstance(last[0], str) else last[0][0]
    before = layer_of(config, name)
    entry = {
        "module": module,
        "class_name": class_name,
        "config": {"name": "attack", **arguments},
        "registered_name": None,
        "name": "attack",
        "inbound_nodes": copy.deepcopy(before["inbound_nodes"]),
    }
    tensor = entry["inbound_nodes"][0]["args"][0]["config"]
    tensor["keras_history"] = [name, 0, 0]
    tensor["shape"] = [None, before["config"].get("units")]
    config["config"]["layers"].append(entry)
    config["config"]["output_layers"] = [["attack", 0, 0]]
