"""The rivals in the paper's tables as working pipelines: SIFT with Fisher vectors, and sparse coding."""
