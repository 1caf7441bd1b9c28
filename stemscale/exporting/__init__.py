"""Frames of a store come in; files for HyperSpy and ImageJ go out."""

from stemscale.exporting.export import ExportedSeries, ExportProgress, export

__all__ = ["ExportProgress", "ExportedSeries", "export"]
