"""The experiments in the paper's order."""

from alexnet.claims import (
    architecture,
    binary_codes,
    dropout,
    facts,
    figure1,
    figure3,
    figure4,
    larger,
    regularisation,
    section33,
    sparsity,
    tables,
    text_and_code,
)
from alexnet.experiments.experiment import Experiment

EXPERIMENTS: tuple[Experiment, ...] = (
    *facts.EXPERIMENTS,
    *figure1.EXPERIMENTS,
    *architecture.UNITS,
    *architecture.STRUCTURE,
    *section33.EXPERIMENTS,
    *sparsity.EXPERIMENTS,
    *regularisation.AUGMENTATION,
    *dropout.EXPERIMENTS,
    *regularisation.LEARNING,
    *text_and_code.EXPERIMENTS,
    *tables.EXPERIMENTS,
    *figure3.EXPERIMENTS,
    *figure4.EXPERIMENTS,
    *binary_codes.EXPERIMENTS,
    *larger.EXPERIMENTS,
    *architecture.LAYERS,
)
