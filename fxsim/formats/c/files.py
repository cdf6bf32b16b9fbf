"""The files of a network in C, as texts: from a graph, its name in C, and the templates."""

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import numpy.typing as npt

from fxsim.contract import CONTRACT_VERSION, Tensor
from fxsim.errors import ModelError
from fxsim.formats.c.names import c_comment, c_string, shown, tap_identifiers
from fxsim.formats.c.operators import accumulator_type, body_of
from fxsim.formats.model_file import model_sha256
from fxsim.graph import INPUT, Graph, Model, Node
from fxsim.version import __version__

PARAMETERS_MAX = 1 << 24
"""Most parameters of a network in C: gcc 12 takes about 100 bytes of memory for each."""

_TEMPLATES = Path(__file__).resolve().parent / "templates"
_SHARED = ("fxsim_arithmetic.h", "fxsim_tap.h")
"""Files that are the same in every export."""

_MADE = {
    "{}.h": "network.h.j2",
    "{}.c": "network.c.j2",
    "{}_parameters.h": "parameters.h.j2",
    "{}_main.c": "main.c.j2",
    "{}_dpi.c": "dpi.c.j2",
    "{}_pkg.sv": "package.sv.j2",
    "Makefile": "Makefile.j2",
}
"""Files by name, {} being the network's, and the template of each."""

_PARAMETERS = ("x", "r")
"""Names of the tensors that a node's function reads."""

_LINE_VALUES = 24


def c_files(model: Model, name: str) -> dict[str, str]:
    """Every file of a model in C by its name, all of them ASCII; `name` is what its identifiers begin with.

    The same model gives the same texts. ModelError, naming the node, where an operator is not taken, or where it has
    more than `PARAMETERS_MAX` parameters.
    """
    graph = model.graph
    count = sum(array.size for node in _owners(graph) for _, array in node.op.arrays())
    if count > PARAMETERS_MAX:
        raise ModelError(
            f"a network in C has at most {PARAMETERS_MAX:,} parameters, model '{model.name}' has {count:,}"
        )
    identifiers = tap_identifiers(graph.taps)
    network = {
        "name": name,
        "model": c_comment(shown(model.name)),
        "sha256": model_sha256(model),
        "version": __version__,
        "contract": CONTRACT_VERSION,
        "input": _tensor(INPUT, graph.input),
        "taps": [_tap(graph, node, identifiers) for node in graph.nodes],
        "arrays": _arrays(graph, identifiers),
    }
    texts = {file: (_TEMPLATES / file).read_text(encoding="ascii") for file in _SHARED}
    for file, template in _MADE.items():
        texts[file.format(name)] = _environment().get_template(template).render(network)
    return texts


def _tensor(name: str, tensor: Tensor) -> dict[str, Any]:
    """The values that templates have of a tensor. `full`: its format has every value of its C type."""
    number = tensor.number
    assert number.dtype.itemsize <= 2 or number.signed  # all that operators compute with, and that `fxsim_tap.h` reads
    return {
        "name": name,
        "type": c_type(number.dtype),
        "size": tensor.size,
        "shape": tensor.shape,
        "axes": tensor.axes,
        "number": str(number),
        "bits": number.bits,
        "bipolar": number.bipolar,
        "signed": int(number.signed),
        "low": number.low,
        "high": number.high,
        "full": number.bits == 8 * number.dtype.itemsize,
        "text": c_comment(str(tensor)),
    }


def _tap(graph: Graph, node: Node, identifiers: dict[str, str]) -> dict[str, Any]:
    """The values that templates have of a node: its tensor, its inputs', and the body of its function."""
    tap = _tensor(node.name, graph.tensors[node.name]) | {"id": identifiers[node.name], "kind": node.op.kind}
    body = body_of(graph, node)
    # Nodes that share an operator share its arrays.
    values = {"id": identifiers[graph.owners[node.name]], "y": tap, "sum": accumulator_type(graph, node), **body.values}
    tap["body"] = _environment().get_template(body.template).render(values)
    inputs = [_tensor(name, graph.tensors[name]) for name in node.inputs]
    tap["reads"] = [f"{x['name']}: {x['text']}" for x in inputs]
    tap["parameters"] = [
        f"const {x['type']} *{name}" for x, name in zip(inputs, _PARAMETERS[: node.op.arity], strict=True)
    ]
    tap["arguments"] = ["x->values" if x == INPUT else f"taps->tap_{identifiers[x]}" for x in node.inputs]
    return tap


def _owners(graph: Graph) -> Iterator[Node]:
    """The nodes whose arrays are written: of those that share an operator the first."""
    return (node for node in graph.nodes if graph.owners[node.name] == node.name)


def _arrays(graph: Graph, identifiers: dict[str, str]) -> Iterator[dict[str, Any]]:
    """The values that the template of parameters has of each array."""
    for node in _owners(graph):
        for name, array in node.op.arrays():
            yield {
                "id": f"{name}_{identifiers[node.name]}",
                "type": c_type(array.dtype),
                "size": array.size,
                "about": f"{node.name}: {name} {''.join(f'[{n}]' for n in array.shape)}",
                "lines": _lines(array),
            }


def _lines(array: npt.NDArray[np.integer]) -> Iterator[str]:
    """An array's values, some a line."""
    flat = array.reshape(-1)
    for start in range(0, flat.size, _LINE_VALUES):
        yield ", ".join(map(str, flat[start : start + _LINE_VALUES].tolist()))


def c_type(dtype: np.dtype[Any]) -> str:
    """The C type of the values of an array: int8_t to uint32_t."""
    return f"{dtype.name}_t"


@functools.cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=False,  # noqa: S701  # C, not HTML: identifiers, comments and strings are made by `names`
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["c_string"] = c_string
    return environment
