"""The experiments in the paper's order."""

from alexnet.experiments import ablations
from alexnet.experiments.experiment import Experiment

EXPERIMENTS: tuple[Experiment, ...] = (*ablations.EXPERIMENTS,)
