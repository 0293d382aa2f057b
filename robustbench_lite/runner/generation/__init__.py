"""Cells that make a generator and judge it, beside those that attack."""
