"""Weights to and from other libraries, and whole classifiers to other programs; nothing in a file is ever run."""
