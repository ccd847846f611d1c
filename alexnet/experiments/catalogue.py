"""The experiments in the paper's order."""

from alexnet.experiments import ablations, figure1, figure3, figure4, larger, section33, tables, text_and_code
from alexnet.experiments.experiment import Experiment

EXPERIMENTS: tuple[Experiment, ...] = (
    *figure1.EXPERIMENTS,
    *ablations.EXPERIMENTS,
    *section33.EXPERIMENTS,
    *text_and_code.EXPERIMENTS,
    *tables.EXPERIMENTS,
    *figure3.EXPERIMENTS,
    *figure4.EXPERIMENTS,
    *larger.EXPERIMENTS,
)
