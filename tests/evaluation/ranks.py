"""One rank of test_evaluate's processes: `ranks.py OUT`, with torchrun's variables in the environment."""

import json
import sys

import torch
from conftest import Pictures, classifier, loader

from alexnet import distributed
from alexnet.evaluation.evaluate import evaluate


def main(out: str) -> None:
    torch.set_num_threads(1)
    with distributed.joined(torch.device("cpu")):
        parts = [classifier(seed=1), classifier(seed=2)]
        counts: list[int] = []
        result = evaluate(parts, loader(Pictures(37, 7), 16), "nine", probabilities=True, progress=counts.append)
        assert result.probabilities is not None
        told = {**result.to_json(), "answers": result.answers.tolist(), "progress": sum(counts)}
        told["probabilities"] = result.probabilities.double().sum(0).tolist()
        with open(f"{out}.{distributed.rank()}", "w") as file:
            json.dump(told, file)


if __name__ == "__main__":
    main(sys.argv[1])
