"""The weights of a network out of its OpenVINO graph, by the names PyTorch has for them.

The graphs were traced from PyTorch, and their operations still bear the modules' names:
`__module.layers.0.query/aten::linear/MatMul`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import openvino

_KINDS = {"MatMul", "Convolution", "MVN", "GroupNormalization", "Gather"}
_DECOMPRESSING = {"Convert", "Subtract", "Multiply", "Reshape", "Unsqueeze"}
_MODULE = "__module."


def weights(graph: Path, prefix: str = "") -> dict[str, Any]:
    """Arrays in 32 bits by name without `prefix`; those under other names are left out."""
    found: dict[str, Any] = {}
    model = openvino.Core().read_model(graph)
    for operation in model.get_ops():
        path = operation.get_friendly_name().partition("/")[0]
        if operation.get_type_name() in _KINDS and path.startswith(_MODULE + prefix):
            name = path.removeprefix(_MODULE + prefix)
            for part, value in _parameters(operation).items():
                if value is not None:
                    found[f"{name}.{part}"] = value
    return found


def added_to_lookup(graph: Path) -> Any:
    """What is added to what the graph's only table gives: a token's place."""
    model = openvino.Core().read_model(graph)
    (lookup,) = (each for each in model.get_ops() if each.get_type_name() == "Gather")
    return _constant(_next(lookup, "Add"))


def input_scale(graph: Path) -> tuple[Any, Any]:
    """What the graph's only input is multiplied by, and what is added then."""
    model = openvino.Core().read_model(graph)  # gone, its operations lose one another
    (parameter,) = model.get_parameters()
    scaled = _next(parameter, "Multiply")
    return _constant(scaled), _constant(_next(scaled, "Add"))


def _parameters(operation: Any) -> dict[str, Any]:
    match operation.get_type_name():
        case "GroupNormalization":
            return {"weight": _value(operation, 1), "bias": _value(operation, 2)}
        case "MVN":
            scaled = _next(operation, "Multiply")
            shifted = _next(scaled, "Add")
            return {"weight": _flat(_constant(scaled)), "bias": _flat(_constant(shifted))}
        case "Gather":
            return {"weight": _value(operation, 0)}
        case _:
            shifted = _next(operation, "Add")
            bias = _constant(shifted) if shifted else None
            return {"weight": _value(operation, 1), "bias": None if bias is None else _flat(bias)}


def _next(operation: Any, kind: str) -> Any:
    """The operation of `kind` that takes its output, if one does."""
    takers = (taker.get_node() for taker in operation.output(0).get_target_inputs())
    return next((taker for taker in takers if taker.get_type_name() == kind), None)


def _constant(operation: Any) -> Any:
    """What it adds or multiplies by; None when that is calculated too."""
    values = (_value(operation, place) for place in (0, 1))
    return next((value for value in values if value is not None), None)


def _flat(value: Any) -> Any:
    return None if value is None else value.reshape(-1)


def _value(operation: Any, place: int) -> Any:
    """The array at that input, decompressed; None unless it is made of constants alone."""
    source = operation.input_value(place).get_node()
    kind = source.get_type_name()
    if kind == "Constant":
        return np.array(source.data).astype(np.float32)
    if kind not in _DECOMPRESSING:
        return None
    first = _value(source, 0)
    if first is None or kind == "Convert":
        return first
    if kind in ("Reshape", "Unsqueeze"):
        return first.reshape(list(source.get_output_shape(0)))
    second = _value(source, 1)
    if second is None:
        return None
    return first - second if kind == "Subtract" else first * second
