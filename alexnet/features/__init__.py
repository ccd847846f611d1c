"""Responses of a network's stages to pictures: written into a folder, compared, searched and coded."""
