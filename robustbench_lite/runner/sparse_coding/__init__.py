"""Cells that measure a pursuit of the sparse-coding model against its theorem."""
