"""Export of models to other runtimes, and the proof that they compute the same there."""

from training.export.exporter import Export, export_model

__all__ = ["Export", "export_model"]
