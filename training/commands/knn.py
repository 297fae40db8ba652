"""`python -m training knn`: accuracy of the nearest neighbors of frozen features."""

import json

from rich.table import Table

from training.cli.probe_options import ProbeOptions, read_probe_data
from training.cli.terminal import print_rich, print_table
from training.run.csv_file import write_csv
from training.run.json_file import write_json
from training.validation import not_writable, refuse_unless


def run(data: ProbeOptions, neighbors: tuple[int, ...] = (1, 5, 10, 20)):
    """Classify each test image by the training images with the most similar features.

    Similar features have a large cosine of the angle between them. Nothing is trained. The command
    `knn MixerB16:imagenet21k --source pets` measures published weights on the Pets dataset.

    Args:
        data: The model, and the images that it is used on.
        neighbors: Numbers of training images that vote.
    """
    refuse_unless(
        bool(neighbors) and min(neighbors) > 0,
        "neighbors",
        "must be one or more numbers above 0",
        " ".join(map(str, neighbors)) or "none",
        "Pass 1 5 10 20, for example.",
    )
    neighbors = tuple(sorted(set(neighbors)))

    def check(images):
        most = len(images)
        refuse_unless(
            neighbors[-1] <= most,
            "neighbors",
            f"must be at most the number of training images, {most}",
            neighbors[-1],
            f"Pass {most} or less.",
        )

    features = read_probe_data(data, "knn", lambda source: check(source.train))
    check(features.train.labels)  # fewer, if some images have no label

    from training.evaluation.nearest_neighbors import draw_neighbors, nearest_neighbors_accuracies

    train, test = features.train, features.test
    accuracies = nearest_neighbors_accuracies(
        train.values, train.labels, test.values, test.labels, neighbors
    )
    results = {
        "model": data.model,
        **features.entries,
        "neighbors": [{"neighbors": k, "accuracy": a} for k, a in accuracies.items()],
    }
    folder = features.folder
    try:
        write_json(folder / "knn.json", results)
        write_csv(folder / "knn.csv", results["neighbors"])
        title = f"{data.model} on {features.data.source}"
        draw_neighbors(accuracies, title, folder / "knn.png")
    except OSError as error:
        raise not_writable(folder, error) from error
    if data.as_json:
        print(json.dumps(results, indent=2))
        return
    table = Table("neighbors", "accuracy")
    for k, accuracy in accuracies.items():
        table.add_row(str(k), f"{accuracy:.4f}")
    print_rich(table)
    print_table({"results": folder / "knn.json", "figure": folder / "knn.png"})
