"""Quantized exports of the command `export`, and the table of what they lose and gain."""

import dataclasses
import json

from rich.table import Table

from training.cli.class_choice import with_published_names
from training.cli.model_data import match_classes_of_model, require_same_inputs
from training.cli.terminal import print_rich, print_table
from training.export.quantization import find_quantization

MOST_TESTED_AT_ONCE = 32  # images, by a quantized model


def export_and_report(loaded, origin, paths, mode, data, options, as_json):
    """Export quantized models, and print what they lose and gain.

    Args:
        loaded: The `training.model_argument.LoadedModel`.
        origin: MODEL.
        paths: Path for each format.
        mode: `--quantize`.
        data: The `training.config.Data`, with a training and a test split.
        options: `--num-images`, `--calibration-images` and `--calibration-method`.
        as_json: Whether to print JSON.
    """
    from training.data.pipeline import evaluation_batches
    from training.data.sources import load_source
    from training.export.calibration import load_calibration_images
    from training.export.images import read_test_split
    from training.export.quantized import export_quantized

    num_images, calibration_images, method = options
    shape = loaded.model.input_shape[1:]
    source = load_source(data)
    source.require("test", data)
    require_same_inputs(source, loaded)
    data = dataclasses.replace(
        data,
        image_size=shape[0],
        batch_size=min(MOST_TESTED_AT_ONCE, len(source.test)),
        evaluation_transform=loaded.evaluation_transform,
    )
    calibration = None
    if any(find_quantization(format, mode).is_calibrated for format in paths):
        calibration = load_calibration_images(source, data, calibration_images)
    pixels = read_test_split(source, data, num_images)
    tested = match_classes_of_model(source, loaded, data)
    loaded = with_published_names(loaded)  # only now: sources have the WordNet IDs of ImageNet
    batches = evaluation_batches(tested.test, tested, data)
    exports = export_quantized(loaded, paths, mode, calibration, batches, pixels, origin, method)
    rows = [
        {"format": export.format, "path": str(export.path), **dataclasses.asdict(row)}
        for export in exports
        for row in export.rows
    ]
    if as_json:
        print(
            json.dumps({"measured_on": f"the test split of {data.source}", "rows": rows}, indent=2)
        )
        return
    table = Table("format", "weights", "accuracy", "same class", "MB", "images/s", "speedup")
    for row in rows:
        table.add_row(
            row["format"],
            row["model"],
            f"{row['accuracy']:.4f}",
            f"{row['agreement']:.1%}",
            f"{row['megabytes']:.2f}",
            f"{row['images_per_second']:,.1f}",
            f"{row['speedup']:.2f}",
        )
    print_rich(table)
    print_table({export.format: export.path for export in exports})
