"""The table of `benchmark tpu`."""

from rich.table import Table

from training.cli.terminal import print_rich

GIB = 2**30


def print_comparison(result):
    """Print a `training.benchmarks.tpu.TpuComparison`."""
    table = Table("per chip", "TFLOPs", "GB moved", "temporaries, GiB", "to Flax")
    rows = {"Flax": result.flax, "ours": result.ours, "rematerialized": result.rematerialized}
    ratios = (
        result.flops_to_flax,
        result.moved_bytes_to_flax,
        result.temporary_bytes_to_flax,
    )
    for name, footprint in rows.items():
        table.add_row(
            name,
            f"{footprint.flops / 1e12:.4f}",
            f"{footprint.moved_bytes / 1e9:.2f}",
            f"{footprint.temporary_bytes / GIB:.3f}",
            ", ".join(f"{ratio:.4f}" for ratio in ratios) if name == "ours" else "",
        )
    print_rich(table)
    versions = ", ".join(f"{name} {version}" for name, version in result.versions.items())
    print(
        f"Compiled, not run: an SGD step of {result.variant} with {result.batch_size:,} images on "
        f"{result.topology} in bfloat16, with float32 variables. Rematerialization takes "
        f"{result.temporary_bytes_rematerialized:.2f} times the temporaries. {versions}."
    )
