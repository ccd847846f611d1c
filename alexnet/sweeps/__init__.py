"""Runs of one recipe at several settings, compared: a grid, or a search."""
