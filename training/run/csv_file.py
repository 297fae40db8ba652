"""CSV files."""

import csv

from training.run.json_file import replacing


def write_csv(path, rows):
    """Replace a file by one line for each dictionary; all have the same keys."""
    with replacing(path) as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
