"""AlexNet: the network of Krizhevsky, Sutskever and Hinton (2012), from a folder of photographs to an answer.

Every command of the command line is a function here (`alexnet.prepare`, `alexnet.train`, ...). Names are imported
when first used, so `import alexnet` costs nothing.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from alexnet import recipes as recipes
    from alexnet.analysis.report import report as report
    from alexnet.analysis.show import show as show
    from alexnet.baselines.fit import baseline as baseline
    from alexnet.claims.reproduce import reproduce as reproduce
    from alexnet.commands import calibrate as calibrate
    from alexnet.commands import evaluate as evaluate
    from alexnet.commands import finetune as finetune
    from alexnet.commands import resume as resume
    from alexnet.commands import summary as summary
    from alexnet.commands import train as train
    from alexnet.data.prepare import prepare as prepare
    from alexnet.data.shards import verify as verify
    from alexnet.evaluation.classifier import Classifier as Classifier
    from alexnet.evaluation.predict import predict as predict
    from alexnet.features.codes import codes as codes
    from alexnet.features.embed import embed as embed
    from alexnet.features.neighbours import neighbours as neighbours
    from alexnet.features.retrieval import retrieval as retrieval
    from alexnet.features.similarity import similarity as similarity
    from alexnet.interchange.export import export as export
    from alexnet.interchange.import_weights import import_weights as import_weights
    from alexnet.machine import doctor as doctor
    from alexnet.model.alexnet import AlexNet as AlexNet
    from alexnet.model.alexnet import AlexNetConfig as AlexNetConfig
    from alexnet.serving.serve import serve as serve
    from alexnet.sweeps.sweep import sweep as sweep

__version__ = "0.1.0"

_HOMES = {
    "AlexNet": "alexnet.model.alexnet",
    "AlexNetConfig": "alexnet.model.alexnet",
    "Classifier": "alexnet.evaluation.classifier",
    "prepare": "alexnet.data.prepare",
    "verify": "alexnet.data.shards",
    "train": "alexnet.commands",
    "resume": "alexnet.commands",
    "finetune": "alexnet.commands",
    "evaluate": "alexnet.commands",
    "calibrate": "alexnet.commands",
    "predict": "alexnet.evaluation.predict",
    "embed": "alexnet.features.embed",
    "similarity": "alexnet.features.similarity",
    "neighbours": "alexnet.features.neighbours",
    "codes": "alexnet.features.codes",
    "retrieval": "alexnet.features.retrieval",
    "report": "alexnet.analysis.report",
    "show": "alexnet.analysis.show",
    "summary": "alexnet.commands",
    "baseline": "alexnet.baselines.fit",
    "export": "alexnet.interchange.export",
    "import_weights": "alexnet.interchange.import_weights",
    "reproduce": "alexnet.claims.reproduce",
    "serve": "alexnet.serving.serve",
    "sweep": "alexnet.sweeps.sweep",
    "doctor": "alexnet.machine",
}

__all__ = ["recipes", *_HOMES]


def __getattr__(name: str) -> Any:
    if name == "recipes":
        return importlib.import_module("alexnet.recipes")
    if name not in _HOMES:
        raise AttributeError(f"module 'alexnet' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
