"""A classifier as an ONNX graph, built row by row: stored pictures in, probabilities out, nothing left to the caller.

Input `images`, uint8 `[N,3,S,S]` as stored: RGB, S the classifier's size, usually 256. The centre view is cut, the mean
subtracted and the divisor applied inside. Output `probabilities`, float32 `[N,K]`, and the stages that are asked for.
"""

import json
import math
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import torch

import alexnet
from alexnet.config import nearest
from alexnet.errors import InputError
from alexnet.evaluation.classifier import Classifier
from alexnet.interchange.shapes import require_package
from alexnet.model import rows
from alexnet.model.rows import Row, Shape

_OPSET, _IR = 17, 8  # onnxruntime 1.12 of 2022 reads them


def model(classifier: Classifier, stages: Collection[str] = (), half: bool = False) -> Any:
    """The `onnx.ModelProto` of `classifier`, weights inside, its description in the metadata, each value JSON.

    Args:
        stages: rows whose outputs are outputs of the graph too, under their names.
        half: the weights are stored in float16 and brought to float32 by the graph, which computes in float32: in
            float16 the squares of the response norm would overflow.

    Raises:
        InputError: there is no such stage, or the package onnx is missing.
    """
    require_package("onnx", "onnx", "an ONNX file")
    import onnx
    from onnx import TensorProto, helper

    network = classifier.network
    names = [row.name for row in network.rows]
    for name in stages:
        if name not in names:
            raise InputError(f"there is no stage {name!r}{nearest(name, names)}; there are {', '.join(names)}.")
    graph = _Graph(classifier, half)
    graph.build()
    size = classifier.size
    taken = [helper.make_tensor_value_info("images", TensorProto.UINT8, ["N", 3, size, size])]
    given = [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", len(classifier.classes)])]
    for row in network.rows:
        if row.name in stages:
            shape: list[str | int | None] = ["N", *graph.shapes[row.name]]
            given.append(helper.make_tensor_value_info(row.name, TensorProto.FLOAT, shape))
    built = helper.make_graph(graph.nodes, "alexnet", taken, given, graph.tensors)
    made = helper.make_model(
        built,
        opset_imports=[helper.make_opsetid("", _OPSET)],
        ir_version=_IR,
        producer_name="alexnet",
        producer_version=alexnet.__version__,
    )
    helper.set_model_props(made, _metadata(classifier))
    onnx.checker.check_model(made)
    return made


def _metadata(classifier: Classifier) -> dict[str, str]:
    """The classifier's description, and what of its statistics the graph does not hold."""
    values = classifier.described().to_json()
    values["covariance"] = classifier.statistics.covariance.tolist()
    if not _uses_mean_image(classifier):
        values["mean"] = classifier.statistics.channel_mean.tolist()
    return {name: json.dumps(value, sort_keys=True) for name, value in sorted(values.items())}


def _uses_mean_image(classifier: Classifier) -> bool:
    return classifier.views.mean in ("at_crop", "central")


class _Graph:
    """Nodes and tensors in the making; `last` is the name of what the next row reads."""

    def __init__(self, classifier: Classifier, half: bool) -> None:
        self.nodes: list[Any] = []
        self.tensors: list[Any] = []
        self.last = "images"
        self.shapes: dict[str, Shape] = {}
        """The shape of each row's output, of one image."""
        self._classifier, self._half = classifier, half
        self._weights = classifier.network.whole()

    def build(self) -> None:
        """Nothing; the graph is complete."""
        network, temperature = self._classifier.network, self._classifier.temperature
        self._view()
        before = rows.input_shapes(network.rows, network.config.input)
        for row in network.rows:
            self.shapes[row.name] = rows.output_shape(row, before[row.name])
            self._row(row, before[row.name])
        if temperature != 1:
            self._add("Div", "tempered", self.last, self._constant("temperature", temperature))
        self._add("Softmax", "probabilities", self.last, axis=1)

    def _view(self) -> None:
        """The centre view, as `alexnet.data.views.centre_view` has it."""
        own, views = self._classifier, self._classifier.views
        start = (own.size - views.crop) // 2
        ends = [np.array([edge, edge], np.int64) for edge in (start, start + views.crop)]
        cut = [self._tensor(name, edge) for name, edge in zip(("crop.first", "crop.end"), ends, strict=True)]
        axes = self._tensor("crop.axes", np.array([2, 3], np.int64))
        self._add("Slice", "crop", "images", *cut, axes)
        self._add("Cast", "pixels", self.last, to=1)
        if _uses_mean_image(own):
            mean = self._tensor("mean", own.statistics.mean.cpu().numpy()[None])
            pixels = self.last
            self._add("Slice", "mean.crop", mean, *cut, axes)
            self._add("Sub", "centred", pixels, self.last)
        else:
            three = views.mean if isinstance(views.mean, tuple) else own.statistics.channel_mean.tolist()
            self._add("Sub", "centred", self.last, self._constant("channels", three))
        divisor = own.statistics.deviation if views.divisor == "deviation" else views.divisor
        if divisor != 1:
            self._add("Div", "view", self.last, self._constant("divisor", divisor))

    def _row(self, row: Row, shape: Shape) -> None:
        match row:
            case rows.Convolution():
                pads = [row.before, row.before, row.after, row.after]
                inputs = [self.last, self._weight(f"{row.name}.weight"), self._weight(f"{row.name}.bias")]
                self._add("Conv", row.name, *inputs, pads=pads, strides=[row.stride] * 2, group=rows.groups(row))
            case rows.LocallyConnected():
                self._locally_connected(row, shape)
            case rows.Dense():
                self._dense(row, shape)
            case rows.Rectifier():
                self._add("Relu", row.name, self.last)
            case rows.Tanh():
                self._add("Tanh", row.name, self.last)
            case rows.ResponseNorm():
                self._response_norm(row, shape)
            case rows.SameMapNorm():
                self._same_map_norm(row)
            case rows.Pool():
                # Zeros or minus infinity beyond the edge count for nothing in either kind of pooling.
                sides = zip(shape[1:], rows.output_shape(row, shape)[1:], strict=True)
                after = [(count - 1) * row.stride + row.size - side for side, count in sides]
                kind = "MaxPool" if row.kind == "max" else "AveragePool"
                where = {"kernel_shape": [row.size] * 2, "strides": [row.stride] * 2, "pads": [0, 0, *after]}
                self._add(kind, row.name, self.last, **where)
            case rows.Dropout():
                keep = row.keep if row.scaling == "test" else 1.0
                self._add("Mul", row.name, self.last, self._constant(f"{row.name}.keep", keep))

    def _response_norm(self, row: rows.ResponseNorm, shape: Shape) -> None:
        """ONNX's LRN, which divides alpha by its size and reaches over all maps: so each tower is an image to it."""
        towers = 1 if row.across else row.towers
        inside = towers > 1
        if inside:
            self._reshape(f"{row.name}.towers", (-1, shape[0] // towers, *shape[1:]))
        size = row.n // 2 * 2 + 1  # i - n // 2 ... i + n // 2
        name = f"{row.name}.inside" if inside else row.name
        self._add("LRN", name, self.last, size=size, alpha=row.alpha * size, beta=row.beta, bias=row.k)
        if inside:
            self._reshape(row.name, (-1, *shape))

    def _same_map_norm(self, row: rows.SameMapNorm) -> None:
        maps, part = self.last, row.name
        self._add("Mul", f"{part}.squares", maps, maps)
        pads, window = [row.n // 2] * 4, [row.n] * 2
        self._add("AveragePool", f"{part}.means", self.last, kernel_shape=window, pads=pads, count_include_pad=1)
        self._add("Mul", f"{part}.scaled", self.last, self._constant(f"{part}.scale", row.scale))
        self._add("Add", f"{part}.sum", self.last, self._constant(f"{part}.offset", row.offset))
        self._add("Pow", f"{part}.power", self.last, self._constant(f"{part}.beta", row.beta))
        self._add("Div", part, maps, self.last)

    def _dense(self, row: rows.Dense, shape: Shape) -> None:
        groups, name = rows.groups(row), row.name
        if len(shape) > 1:
            self._reshape(f"{name}.flat", (-1, math.prod(shape)))
        weight, bias = self._weight(f"{name}.weight"), self._weight(f"{name}.bias")
        if groups == 1:
            self._add("Gemm", name, self.last, weight, bias, transB=1)
            return
        # Towers apart: a grouped convolution of one pixel.
        self._reshape(f"{name}.pixel", (-1, math.prod(shape), 1, 1))
        whole = self._tensor(f"{name}.shape", np.array([row.units, math.prod(shape) // groups, 1, 1], np.int64))
        pixel = self.last
        self._add("Reshape", f"{name}.kernels", weight, whole)
        self._add("Conv", f"{name}.maps", pixel, self.last, bias, group=groups)
        self._reshape(name, (-1, row.units))

    def _locally_connected(self, row: rows.LocallyConnected, shape: Shape) -> None:
        """Each position's window as a column by kernels of a single one, then a product with weights of its own."""
        maps, window, name = shape[0], row.size**2, row.name
        one = np.tile(np.eye(window, dtype=np.float32).reshape(window, 1, row.size, row.size), (maps, 1, 1, 1))
        positions = math.prod(rows.output_shape(row, shape)[1:])
        taken = self._tensor(f"{name}.window", one)
        self._add("Conv", f"{name}.windows", self.last, taken, pads=[row.padding] * 4, group=maps)
        self._reshape(f"{name}.columns", (-1, maps * window, positions))
        self._add("Transpose", f"{name}.positions", self.last, perm=[2, 0, 1])
        self._add("MatMul", f"{name}.products", self.last, self._weight(f"{name}.weight"))
        products, axis = self.last, self._tensor(f"{name}.axis", np.array([1], np.int64))
        self._add("Unsqueeze", f"{name}.biases", self._weight(f"{name}.bias"), axis)
        self._add("Add", f"{name}.sums", products, self.last)
        self._add("Transpose", f"{name}.images", self.last, perm=[1, 2, 0])
        self._reshape(name, (-1, *rows.output_shape(row, shape)))

    def _reshape(self, output: str, shape: Sequence[int]) -> None:
        self._add("Reshape", output, self.last, self._tensor(f"{output}.to", np.array(shape, np.int64)))

    def _add(self, kind: str, output: str, *inputs: str, **settings: Any) -> None:
        from onnx import helper

        self.nodes.append(helper.make_node(kind, list(inputs), [output], output, **settings))
        self.last = output

    def _weight(self, name: str) -> str:
        value = self._weights[name]
        if not self._half:
            return self._tensor(name, value.numpy())
        stored, before = self._tensor(name, value.to(torch.float16).numpy()), self.last
        self._add("Cast", f"{name}.float", stored, to=1)
        self.last = before
        return f"{name}.float"

    def _constant(self, name: str, value: float | Sequence[float]) -> str:
        array = np.array(value, np.float32)
        return self._tensor(name, array.reshape(1, -1, 1, 1) if array.ndim else array)

    def _tensor(self, name: str, value: np.ndarray) -> str:
        from onnx import numpy_helper

        self.tensors.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name
