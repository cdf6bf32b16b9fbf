"""A small Transformer with a Neural ODE as its backbone, from arrays of integers: stem, ODE block, attention, classes.

The arithmetic, of int8 values code / 2^e, each tensor with an exponent e of its own. Layers are convolutions, followed
by `sat8(round_shift(sum, shift[n]) + bias[n])`; `relu` layers keep what is not negative. `sat8`, `round_shift`: as in
the contract.

    stem    3 x 3, relu
    ode     N steps of Euler's method, h = 1 / N: x = sat8(x' + round_shift(f(x), e_f + log2 N - e_x)), f = depthwise
            3 x 3 (d1), pointwise (p1), relu, depthwise 3 x 3 (d2), pointwise (p2); x' = x at e_x, which the first step
            has at the stem's exponent: its d1 has shifts of its own (d1s), and x' = round_shift(x, e_stem - e_x)
    down    3 x 3, stride 2, relu
    mhsa    q, k, v pointwise; k' = sat8(k + table); s = sat8(round_shift(q k'^T, e_q + e_k - e_s)) in heads,
            a = max(s, 0); y = sat8(round_shift(a v, e_s + e_v + log2 T - e_y)), of T places; x = sat8(x + o(y))
    pool    sat8(round_shift(sum over places, log2 T - (e_pool - e_x)))
    scores  int32, sums with a bias, not rounded

All steps have the same operators, whose arrays the model has once; only d1's shifts of the first step are others.
"""

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fxsim.contract import CHANNEL, COLUMN, INT8, ROW, Division, Number, Rounding, Sign, Tensor, bits_needed
from fxsim.contract import worst_case_sums as sums_of
from fxsim.contract.arithmetic import Integers
from fxsim.contract.number import INT32
from fxsim.errors import FileError, ModelError
from fxsim.formats.importers import Importer
from fxsim.formats.npy import archive_fault, archive_sha256, read_archive, read_text
from fxsim.formats.text import short
from fxsim.graph import INPUT, Graph, Model, Node, repeat
from fxsim.operators import Add, Conv, Flatten, Matmul, MultiplyAdd, Operator, Position, Rescale, SumPool, WeightedAdd

_ARCHIVE_BYTES_MAX = 1 << 26
"""Bytes of all arrays, at most."""
_LAYERS = ("stem", "d1s", "d1", "p1", "d2", "p2", "down", "qk", "kk", "vv", "o")
_EXPONENTS = (
    "stem.q", "d1.q", "p1.q", "d2.q", "p2.q", "down.q", "qk.q", "kk.q", "vv.q", "o.q", "qx", "qs", "qo", "qx2", "qp",
)  # fmt: skip
_UINT7 = Number(7, Sign.UNSIGNED)
"""The format of what is not negative, of int8."""
_SHIFT_MAX = 14
"""The most places that a step's x is moved up, which is a factor of 16 bits."""


def import_neural_ode(path: Path) -> Model:
    """The network of an .npz file of arrays.

    `{layer}/weight` int8 [N, C, rows, columns] (C channels of a group), `/bias` int8 [N], `/shift` uint8 [N], of the
    layers stem, d1s, d1, p1, d2, p2, down, qk, kk, vv, o; `pos` int8 [channel, row, column], the table of places;
    `fc_weight` int8 [classes, channel], `fc_bias` int32 [classes]; `meta`: JSON of `exponents`, `steps` and `heads`;
    `images` uint8 [image, row, column], whose size and greatest value the input has. `labels`, `pool` and `scores`, the
    values that somebody computed, may be there, and are not read as parameters.

    FileError names the file, the array, and what was expected.
    """
    settings = _settings(path, read_text(path, "meta"))
    try:
        with zipfile.ZipFile(path) as archive:
            names = {name.removesuffix(".npy") for name in archive.namelist()} - {"meta"}
    except (OSError, zipfile.BadZipFile) as error:
        raise FileError(f"{path}: cannot be read: {error}") from None
    arrays = read_archive(path, _ARCHIVE_BYTES_MAX, names)
    _check(path, arrays)
    try:
        graph = build_neural_ode(arrays, settings["exponents"], settings["steps"], settings["heads"])
    except ModelError as error:
        raise FileError(f"{path}: {error}") from None
    parameters = {
        name: array for name, array in arrays.items() if "/" in name or name in ("pos", "fc_weight", "fc_bias")
    }
    source = f"Neural ODE with attention, arrays {short(path.resolve().name)}"
    return Model(graph, "neural-ode", {"source": source, "sha256 of parameters": archive_sha256(parameters)})


def _settings(path: Path, text: str) -> dict[str, Any]:
    """Settings that `meta` states: `exponents` by name, `steps` and `heads`."""
    try:
        found = json.loads(text)
    except ValueError as error:
        raise FileError(f"{path}: 'meta' is not JSON: {error}") from None
    exponents = found.get("exponents") if isinstance(found, dict) else None
    if not isinstance(exponents, dict):
        raise FileError(f"{path}: 'meta' states no exponents")
    numbers = {f"exponents {name}": exponents.get(name) for name in _EXPONENTS}
    numbers |= {name: found.get(name) for name in ("steps", "heads")}
    for name, value in numbers.items():
        if type(value) is not int or not 0 <= value <= 255:
            raise FileError(f"{path}: 'meta' states {name} {short(str(value))}, expected 0 to 255")
    return {"exponents": exponents, "steps": found["steps"], "heads": found["heads"]}


def _check(path: Path, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """FileError where an array is missing, unknown, or not of the type and shape that the others make it have."""
    dimensions = {
        "stem/weight": 4,
        "d1/weight": 4,
        "p1/weight": 4,
        "down/weight": 4,
        "pos": 3,
        "images": 3,
        "fc_weight": 2,
    }
    for name, count in dimensions.items():
        if name not in arrays:
            raise FileError(f"{path}: array '{name}' is missing")
        if arrays[name].ndim != count or 0 in arrays[name].shape:
            raise FileError(f"{path}: array '{name}' has shape {arrays[name].shape}, expected {count} dimensions")
    _, rows, columns = arrays["images"].shape
    width, hidden, channels = (len(arrays[f"{name}/weight"]) for name in ("stem", "p1", "down"))
    classes, pictures = len(arrays["fc_weight"]), len(arrays["images"])
    shapes = {
        "stem": (width, 1, 3, 3), "d1s": (width, 1, 3, 3), "d1": (width, 1, 3, 3), "p1": (hidden, width, 1, 1),
        "d2": (hidden, 1, 3, 3), "p2": (width, hidden, 1, 1), "down": (channels, width, 3, 3),
        **dict.fromkeys(("qk", "kk", "vv", "o"), (channels, channels, 1, 1)),
    }  # fmt: skip
    expected: dict[str, tuple[str, tuple[int, ...]]] = {
        "images": ("|u1", (pictures, rows, columns)),
        "pos": ("|i1", (channels, (rows + 1) // 2, (columns + 1) // 2)),
        "fc_weight": ("|i1", (classes, channels)),
        "fc_bias": ("<i4", (classes,)),
    }
    for name in _LAYERS:
        outputs = shapes[name][0]
        expected[f"{name}/weight"] = ("|i1", shapes[name])
        expected |= {f"{name}/bias": ("|i1", (outputs,)), f"{name}/shift": ("|u1", (outputs,))}
    computed = {
        "labels": ("<i8", (pictures,)),
        "pool": ("|i1", (pictures, channels)),
        "scores": ("<i4", (pictures, classes)),
    }
    expected |= {name: entry for name, entry in computed.items() if name in arrays}
    if fault := archive_fault(arrays, expected):
        raise FileError(f"{path}: is no such Neural ODE: {fault}")


def build_neural_ode(
    arrays: Mapping[str, npt.NDArray[Any]], exponents: Mapping[str, int], steps: int, heads: int
) -> Graph:
    """The graph of a network: arrays, exponents, steps and heads as `import_neural_ode` reads them.

    The output is `scores`, int32 [classes]. ModelError where a shift would be negative, steps or places are no power of
    two, or the exponents of what attention adds differ.
    """
    _, rows, columns = arrays["images"].shape
    places = arrays["pos"][0].size
    if steps & (steps - 1) or steps < 1 or places & (places - 1):
        raise ModelError(f"{steps} steps and {places} places, expected powers of two")
    if heads < 1 or len(arrays["down/weight"]) % heads:
        raise ModelError(f"{len(arrays['down/weight'])} channels cannot have {heads} heads")
    if not exponents["down.q"] == exponents["o.q"] == exponents["qx2"]:
        raise ModelError(
            f"attention adds exponents down.q {exponents['down.q']} and o.q {exponents['o.q']} to qx2 "
            f"{exponents['qx2']}, expected one"
        )
    e, log2 = exponents, (steps.bit_length() - 1, places.bit_length() - 1)
    align = _shift("x of the first step", e["stem.q"] - e["qx"])
    euler = _shift("a step", e["p2.q"] + log2[0] - e["qx"], _SHIFT_MAX)
    score = _shift("the scores of attention", e["qk.q"] + e["kk.q"] - e["qs"])
    value = _shift("the values of attention", e["qs"] + e["vv.q"] + log2[1] - e["qo"])
    mean = _shift("the pool", log2[1] - (e["qp"] - e["qx2"]))
    convs = {
        name: _conv(arrays[f"{name}/weight"], 2 if name == "down" else 1, name in ("d1", "d1s", "d2"))
        for name in _LAYERS
    }
    if convs["d1s"] == convs["d1"]:
        convs["d1s"] = convs["d1"]
    ends = {
        name: _finisher(
            arrays[f"{name}/shift"], arrays[f"{name}/bias"], _UINT7 if name in ("stem", "p1", "down") else INT8
        )
        for name in _LAYERS
    }

    def layer(name: str, source: str, called: str | None = None) -> list[Node]:
        own = called or name
        return [Node(f"{own}.sums", convs[name], (source,)), Node(own, ends[name], (f"{own}.sums",))]

    width, channels = len(arrays["stem/weight"]), len(arrays["down/weight"])
    pair = np.repeat(np.array([[1 << euler], [1]], np.int16), width, axis=1)
    added = WeightedAdd(pair, np.full(width, euler, np.uint8), 9 + euler, INT8)
    f = [*layer("p1", "d1"), *layer("d2", "p1"), *layer("p2", "d2")]
    first = [Node("aligned", _to_int8(width, align), (INPUT,)), *layer("d1s", INPUT, "d1"), *f]
    first.append(Node("x", added, ("aligned", "p2")))
    nodes = [*layer("stem", INPUT), *repeat("ode", first, 1, "stem")]
    if steps > 1:
        later = [*layer("d1", INPUT), *f, Node("x", added, (INPUT, "p2"))]
        nodes += repeat("ode", later, steps - 1, nodes[-1].name, 1)
    nodes += layer("down", nodes[-1].name)
    for name, called in (("qk", "mhsa.q"), ("kk", "mhsa.k"), ("vv", "mhsa.v")):
        nodes += layer(name, "down", called)
    table = np.ascontiguousarray(arrays["pos"].transpose(1, 2, 0)).reshape(places, channels).astype(np.int16)

    def node(name: str, op: Operator, *sources: str) -> None:
        nodes.append(Node(name, op, sources))

    node("mhsa.k_there", Position(table, Number(9)), "mhsa.k")
    node("mhsa.key", _to_int8(channels, 0), "mhsa.k_there")
    each = channels // heads
    bits = bits_needed(each * -128 * 127, each * 128 * 128)
    node("mhsa.products", Matmul(heads, each, True, Number(bits)), "mhsa.q", "mhsa.key")
    node("mhsa.attention", _to_int8(heads * places, score, _UINT7), "mhsa.products")
    bits = bits_needed(places * -128 * 127, places * 127 * 127)
    node("mhsa.sums", Matmul(heads, places, False, Number(bits)), "mhsa.attention", "mhsa.v")
    node("mhsa.heads", _to_int8(channels, value), "mhsa.sums")
    nodes += layer("o", "mhsa.heads", "mhsa.o")
    node("mhsa.x", Add(9, INT8), "down", "mhsa.o")
    down = arrays["pos"].shape[1:]
    bits = bits_needed(places * -128, places * 127)
    node("pool", SumPool(down, down, 1 << mean, Division.HALF_UP, False, bits, INT8), "mhsa.x")
    node("fc.sums", _conv(arrays["fc_weight"][:, :, None, None], 1, False), "pool")
    classes = len(arrays["fc_weight"])
    ones, none = np.ones(classes, np.int16), np.zeros(classes, np.uint8)
    node("fc", MultiplyAdd(ones, arrays["fc_bias"].astype(np.int32), none, 33, INT32), "fc.sums")
    node("scores", Flatten((0, 1, 2)), "fc")
    greatest = int(arrays["images"].max())
    number = Number(max(1, greatest.bit_length()), Sign.UNSIGNED)
    return Graph(Tensor((ROW, COLUMN, CHANNEL), (rows, columns, 1), number), nodes)


def _shift(what: str, places: int, most: int = 62) -> int:
    if not 0 <= places <= most:
        raise ModelError(f"{what} would be shifted by {places} places, expected 0 to {most}")
    return places


def _conv(weight: npt.NDArray[Any], stride: int, depthwise: bool) -> Conv:
    """A convolution with zeros around so that a stride of 1 keeps the size; `weight` [N, C, rows, columns]."""
    laid = np.ascontiguousarray(weight.transpose(0, 2, 3, 1))
    pad = laid.shape[1] // 2
    low, high = sums_of(laid.reshape(len(laid), -1), INT8)
    # Of uint8, which the stem's pictures may be, a sum may be as wide as twice that.
    out = Number(min(32, bits_needed(int(2 * low.min()), int(2 * high.max()))))
    groups = len(laid) if depthwise else 1
    return Conv(laid, (stride, stride), (pad, pad, pad, pad), (1, 1), groups, INT8, out)


def _finisher(shift: Integers, bias: Integers, out: Number) -> Rescale:
    """saturate(round_shift(x, shift[c]) + bias[c])."""
    count = len(shift)
    nothing, one = np.zeros(count, np.int32), np.ones(count, np.int32)
    return Rescale(nothing, one, shift, bias, Rounding.HALF_UP, 33, out)


def _to_int8(channels: int, shift: int, out: Number = INT8) -> Rescale:
    return _finisher(np.full(channels, shift, np.uint8), np.zeros(channels, np.int8), out)


def _looks(path: Path) -> bool:
    """Whether a file is an archive with the first layer of the ODE block and a table of places."""
    if path.suffix != ".npz" or not path.is_file():
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return {"d1s/weight.npy", "pos.npy"} <= set(archive.namelist())
    # Damaged archives fail in ways that zipfile does not list; what they are is another importer's to say.
    except Exception:
        return False


IMPORTER = Importer(
    name="neural-ode",
    takes="an .npz file of integers of a small Transformer with a Neural ODE",
    read=import_neural_ode,
    looks=_looks,
)
