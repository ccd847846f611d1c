"""The two pipelines: their settings, what each learns from a sample of descriptors, and a picture's vectors."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from alexnet import files
from alexnet.baselines import fisher, pyramid, sparse_coding
from alexnet.baselines.linear import Descent
from alexnet.baselines.local_descriptors import LENGTHS, Grid, Kind, describe
from alexnet.baselines.pyramid import Layout

Name = Literal["fisher-vectors", "sparse-coding"]


@dataclass(frozen=True)
class FisherVectors:
    """SIFT + Fisher vectors, the rival of tables 1 and 2 (Sánchez and Perronnin, CVPR 2011)."""

    channels: tuple[Kind, ...] = ("sift", "colour")
    """One classifier each; their scores are averaged."""
    grid: Grid = field(default_factory=Grid)
    sample: int = 128_000
    """Descriptors that projection and mixture are fitted on."""
    dimensions: int = 64
    """What descriptors are projected to."""
    components: int = 256
    """Gaussians of the mixture."""
    iterations: int = 20
    """Of expectation maximisation, at most."""
    layout: Layout = ((1, 1), (2, 2), (3, 1))
    descent: Descent = field(default_factory=Descent)


@dataclass(frozen=True)
class SparseCoding:
    """Sparse coding of several feature sets, the rival of table 1 (Lin et al., CVPR 2011)."""

    channels: tuple[Kind, ...] = ("sift", "hog", "lbp")
    """One classifier each; their scores are averaged."""
    grid: Grid = field(default_factory=lambda: Grid(cell=4, stride=6, scales=(1.0, 2**-0.5, 0.5)))
    sample: int = 128_000
    """Descriptors that the dictionary is fitted on."""
    words: int = 1024
    """The dictionary's size."""
    neighbours: int = 5
    """Words that a descriptor is coded with."""
    layout: Layout = ((1, 1), (2, 2), (4, 4))
    descent: Descent = field(default_factory=Descent)


Pipeline = FisherVectors | SparseCoding


def named(name: Name) -> Pipeline:
    """The pipeline with the settings that the results are of."""
    return FisherVectors() if name == "fisher-vectors" else SparseCoding()


def learn(pipeline: Pipeline, sample: np.ndarray, folder: Path, seed: int) -> None:
    """Nothing; `folder` holds what the pipeline learns from descriptors, a file a stage; those there are kept.

    Args:
        sample: float32 `[n, D]`.
    """
    if isinstance(pipeline, SparseCoding):
        if not (folder / "dictionary.safetensors").exists():
            save(folder / "dictionary.safetensors", sparse_coding.fit_dictionary(sample, pipeline.words, seed))
        return
    if not (folder / "projection.safetensors").exists():
        save(folder / "projection.safetensors", fisher.fit_projection(sample, pipeline.dimensions))
    if not (folder / "mixture.safetensors").exists():
        points = fisher.project(torch.from_numpy(sample), load_file(folder / "projection.safetensors")).numpy()
        mixture = fisher.fit_mixture(points, pipeline.components, pipeline.iterations, seed)
        save(folder / "mixture.safetensors", mixture)


def learnt(pipeline: Pipeline, folder: Path) -> dict[str, Tensor]:
    """What `learn` left in `folder`."""
    names = ["dictionary"] if isinstance(pipeline, SparseCoding) else ["projection", "mixture"]
    return {key: value for name in names for key, value in load_file(folder / f"{name}.safetensors").items()}


def vector(pipeline: Pipeline, kind: Kind, picture: np.ndarray, tensors: dict[str, Tensor]) -> Tensor:
    """float16 `[length(pipeline, kind)]`, of length 1 to rounding: the picture as one channel's classifier sees it.

    Args:
        picture: uint8 `[3, H, W]`, RGB.
        tensors: what `learnt` gives.
    """
    descriptors, places = describe(picture, kind, pipeline.grid)
    if isinstance(pipeline, SparseCoding):
        found = sparse_coding.pooled(descriptors, places, tensors["words"], pipeline.neighbours, pipeline.layout)
    else:
        found = fisher.fisher_vector(fisher.project(descriptors, tensors), places, tensors, pipeline.layout)
    return found.half()


def length(pipeline: Pipeline, kind: Kind) -> int:
    """How many numbers a picture's vector has."""
    regions = pyramid.count(pipeline.layout)
    if isinstance(pipeline, SparseCoding):
        return regions * pipeline.words
    return regions * 2 * pipeline.components * min(pipeline.dimensions, LENGTHS[kind])


def save(path: Path, tensors: dict[str, Tensor]) -> None:
    """Nothing; `path` holds the tensors, whole."""
    with files.write_aside(path) as aside:
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, aside)
