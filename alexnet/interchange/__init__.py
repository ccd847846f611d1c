"""Weights to and from other libraries; nothing here but the names and shapes that they use."""
