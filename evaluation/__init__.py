"""Knowing how well: datasets, metrics and the commands that measure them."""
