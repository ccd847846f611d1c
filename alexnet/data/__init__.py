"""From photographs to batches: sources, decoding, the prepared set, the loader and the views."""
