"""QONNX models as an importer."""

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from fxsim.contract import INT8, Number, Sign, Tensor
from fxsim.contract.number import BIPOLAR
from fxsim.errors import FileError, ModelError
from fxsim.formats.importers import Execute, Importer, Program
from fxsim.formats.onnx.extra import missing
from fxsim.formats.onnx.read import OnnxGraph, OnnxNode, read_onnx
from fxsim.formats.qonnx import codes, nodes
from fxsim.formats.qonnx.build import AXES, Builder
from fxsim.formats.qonnx.datatypes import check_range, check_values, limits
from fxsim.formats.qonnx.exact import Affine
from fxsim.formats.qonnx.nodes import Call
from fxsim.formats.qonnx.types import check_types, code_types
from fxsim.formats.qonnx.values import Constant, Flow, NotTakenError, Value
from fxsim.formats.text import short
from fxsim.graph import INPUT, Model
from fxsim.graph.graph import VALUES_MAX

_INPUT_NUMBER = re.compile(r"(u?int[1-9][0-9]?)(?:/([1-9][0-9]{0,8}))?\Z")
_HANDLERS = {**nodes.HANDLERS, **codes.HANDLERS}
DOMAINS = ("", "ai.onnx", "onnx.brevitas", "finn.custom_op.general", "qonnx.custom_op.general", nodes.CHANNELS_LAST)
"""Domains of operators that QONNX has, the standard's first: in others a name may be of another operator."""
_MICROSOFT = "com.microsoft"
"""ONNX Runtime's own domain; of those that its optimiser writes (com.ms.internal.nhwc) tensors lie otherwise."""
_ATTRIBUTE_LENGTH_MAX, _REASON_LENGTH_MAX = 60, 400


def import_qonnx(path: Path, input_number: str | None = None) -> Model:
    """The integer model of a QONNX file: sums, and thresholds that are exact in the reals of its float32 parameters.

    Its input is an image [row, column, channel], or one place of all channels where the file has [1, values].
    `input_number`: the integers that are fed, `uint8`, or `uint8/255` where the float graph reads code / 255. By
    default those that the file annotates; else levels of the first quantiser, and what is before it is left to whoever
    feeds the model. Provenance says what input and output stand for, which tensor of the file each tap is, and where a
    threshold is so close to an integer that a float executor may differ.

    FileError lists every node that is not taken, with its attributes and what would be needed, or says what is damaged.
    """
    return read_qonnx(path, input_number).model


@dataclass(frozen=True)
class Read:
    """A QONNX file as it was read. `flows`: what each tensor of the file is of the model, in the file's order."""

    model: Model
    onnx: OnnxGraph
    data: bytes
    input: str
    flows: Mapping[str, Flow]


def read_qonnx(path: Path, input_number: str | None = None) -> Read:
    """The model of a file, and where it has what the file's tensors hold; otherwise as `import_qonnx`."""
    onnx, data = read_onnx(path)
    builder = Builder()
    values: dict[str, Value] = {}
    try:
        values.update(_constants(onnx))
        name, source = _source(onnx, input_number, builder)
    except NotTakenError as error:
        raise FileError(f"{path}: {short(str(error), _REASON_LENGTH_MAX)}") from None
    values[name] = source
    refused = []
    types = code_types(onnx)
    for node in onnx.nodes:
        reason = _take(node, values, builder, onnx, lambda n: check_types(n, onnx, types, name))
        if reason:
            refused.append(f"{node.place}{_attributes(node)}: {reason}")
    if refused:
        several = f"{len(refused)} nodes are not taken: " if len(refused) > 1 else "not taken: "
        raise FileError(f"{path}: {several}{'; '.join(refused)}")
    try:
        about_output, by_channel = _output(onnx, values, builder)
        graph = builder.graph()
    except (NotTakenError, ModelError) as error:
        raise FileError(f"{path}: {short(str(error), _REASON_LENGTH_MAX)}") from None
    file = short(path.resolve().name)
    origins = ", ".join(f"{tap} = {short(origin)}" for tap, origin in builder.origins.items())
    provenance = {
        "source": f"ONNX model {file}",
        f"sha256 of {file}": hashlib.sha256(data).hexdigest(),
        "input": f"'{short(name)}': {builder.about_input}",
        "output": about_output,
        "tensors of the file": origins,
    }
    if by_channel is not None:
        channels = range(max(len(by_channel.scale), len(by_channel.offset)))
        for at, what in enumerate(("scales", "offsets")):
            provenance[f"output {what}"] = ", ".join(f"{float(by_channel.of(c)[at]):.17g}" for c in channels)
    if any(builder.requantised.values()):
        by = builder.requantised
        provenance["requantisation"] = (
            f"by ONNX Runtime's rule in float32, the same for every sum: {by[True]} by multiplier and shift, "
            f"{by[False]} by thresholds"
        )
    if builder.near:
        provenance["near ties"] = f"{len(builder.near):,}: " + "; ".join(map(str, builder.near))
    flows = {tensor: value for tensor, value in values.items() if isinstance(value, Flow)}
    return Read(Model(graph, short(path.stem), provenance), onnx, data, name, flows)


def _constants(onnx: OnnxGraph) -> dict[str, Value]:
    found: dict[str, Value] = {}
    for name, array in onnx.constants.items():
        try:
            found[name] = Constant.plain(array)
            if name in onnx.datatypes:
                check_values(array, onnx.datatypes[name], "it")
        except NotTakenError as error:
            raise NotTakenError(f"constant '{short(name)}': {error}") from None
    return found


def _source(onnx: OnnxGraph, stated: str | None, builder: Builder) -> tuple[str, Flow]:
    """The model's input, and its name."""
    if len(onnx.inputs) != 1:
        raise NotTakenError(f"has {len(onnx.inputs)} inputs that are no constants, expected one")
    ((name, sizes),) = onnx.inputs.items()
    # The first size is the number of images, whatever it is.
    shape = (1, *sizes[1:])
    if len(shape) not in (2, 4) or any(size is None for size in shape[1:]):
        raise NotTakenError(
            f"input '{short(name)}' has the shape {sizes}, expected numbers: (images, values) or (images, channels, "
            "rows, columns)"
        )
    plain = tuple(size for size in shape if size is not None)
    image = (1, 1, plain[1]) if len(plain) == 2 else (plain[2], plain[3], plain[1])
    try:
        tensor = Tensor(AXES, image, INT8)
    except ModelError as error:
        raise NotTakenError(str(error)) from None
    if tensor.size > VALUES_MAX:
        raise NotTakenError(f"input '{short(name)}' has {tensor.size:,} values, expected at most {VALUES_MAX:,}")
    index = np.arange(tensor.size).reshape(image).transpose(2, 0, 1).reshape(plain)
    annotated = onnx.datatypes.get(name, "")
    try:
        number, divisor = _number(stated, annotated)
    except NotTakenError as error:
        raise NotTakenError(f"input '{short(name)}': {error}") from None
    if number is None:
        return name, Flow(None, tensor, 0, 0, index)
    tensor = Tensor(AXES, image, number)
    builder.input = tensor
    builder.about_input = f"{number}" + (f" / {divisor}" if divisor != 1 else "")
    steps = (Affine((Fraction(1, divisor),), (Fraction(0),)),) if divisor != 1 else ()
    return name, Flow(INPUT, tensor, number.low, number.high, index, steps)


def _number(stated: str | None, annotated: str) -> tuple[Number | None, int]:
    if stated is None:
        if not annotated or limits(annotated) is None:
            return None, 1
        if annotated == "BIPOLAR":
            return BIPOLAR, 1
        stated = annotated.lower()
    match = _INPUT_NUMBER.match(stated)
    if match is None:
        raise NotTakenError(f"the input's number is '{short(stated)}', expected such as uint8 or uint8/255")
    try:
        number = Number.parse(match[1])
    except ModelError as error:
        raise NotTakenError(str(error)) from None
    if number.sign is Sign.SIGNED and number.bits < 2:
        raise NotTakenError(f"the input's number is {number}, expected 2 bits or more")
    return number, int(match[2] or 1)


def _take(
    node: OnnxNode, values: dict[str, Value], builder: Builder, onnx: OnnxGraph, check: Callable[[OnnxNode], None]
) -> str | None:  # fmt: skip
    """The reason why a node is not taken, or None; its result goes into `values`. `check`: of the types it reads."""
    handler = _HANDLERS.get(node.op)
    if node.domain not in (*DOMAINS, _MICROSOFT):
        return f"it is of the domain '{short(node.domain)}', expected one of {', '.join((*DOMAINS[1:], _MICROSOFT))}"
    if node.op in codes.REFUSED:
        return codes.REFUSED[node.op]
    if handler is None:
        return "there is no such operator here; needs one of the contract that computes it exactly"
    if any(name and name not in values for name in node.inputs):
        return None  # behind a node that is not taken
    inputs = [values[name] if name else None for name in node.inputs]
    try:
        check(node)
        # Of TopK the indices are taken, which come second, and the mask of a Dropout is left out.
        at = 1 if node.op == "TopK" else 0
        given = [i for i, name in enumerate(node.outputs) if name]
        if at not in given or (len(given) > 1 and node.op not in ("TopK", "Dropout")):
            raise NotTakenError(f"it gives {len(given)} results, expected one")
        found = handler(Call(node, inputs, builder, onnx.opset, onnx.domains.get(node.domain)))
        if isinstance(found, Flow) and node.outputs[at] in onnx.datatypes:
            check_range(found, onnx.datatypes[node.outputs[at]])
        values[node.outputs[at]] = found
    except NotTakenError as error:
        return short(str(error), _REASON_LENGTH_MAX)
    return None


def _attributes(node: OnnxNode) -> str:
    texts = []
    for name, value in node.attributes.items():
        text = f"tensor of shape {value.shape}" if isinstance(value, np.ndarray) else str(value)
        texts.append(f"{short(name)}={short(text, _ATTRIBUTE_LENGTH_MAX)}")
    return f" [{', '.join(texts)}]" if texts else ""


def _output(onnx: OnnxGraph, values: dict[str, Value], builder: Builder) -> tuple[str, Affine | None]:
    """The output in words: what its integers stand for, and where that differs between channels, how.

    NotTakenError where it is no affine function of them.
    """
    if len(onnx.outputs) != 1:
        raise NotTakenError(f"has {len(onnx.outputs)} outputs, expected one")
    (name,) = onnx.outputs
    x = values.get(name)
    if not isinstance(x, Flow) or x.tap in (None, INPUT):
        raise NotTakenError(f"output '{short(name)}' is no result of sums or quantisers")
    if builder.nodes[-1].name != x.tap:
        raise NotTakenError(f"output '{short(name)}' is not the last that is computed")
    if x.padding != (0, 0, 0, 0):
        raise NotTakenError(f"output '{short(name)}' is padded")
    affine = x.affine(f"output '{short(name)}'")
    if len(set(affine.scale)) == len(set(affine.offset)) == 1:
        scale, offset = float(affine.scale[0]), float(affine.offset[0])
        words = f"'{short(name)}' is the integer" + (f" times {scale:.17g}" if scale != 1 else "")
        words += f" plus {offset:.17g}" if offset else ""
        by_channel = None
    else:
        words = f"'{short(name)}' is the integer times a scale plus an offset for each channel"
        by_channel = affine
    return f"{words}, then {x.ended}" if x.ended else words, by_channel


def _execute(path: Path, model: Model) -> tuple[tuple[str, ...], Execute]:
    """ONNX Runtime on a file; see `open_onnxruntime`, which reads files by what is here."""
    from fxsim.formats.qonnx.runtime import open_onnxruntime

    return open_onnxruntime(path, model)


IMPORTER = Importer(
    name="qonnx",
    takes="an .onnx file of QONNX or FINN's dialect (Quant, MultiThreshold, ...), or of 8 bits (QLinearConv, QDQ)",
    read=import_qonnx,
    options=frozenset({"input_number"}),
    looks=lambda path: path.suffix == ".onnx",
    program=Program("ONNX Runtime", lambda: missing("onnx", "onnxruntime"), _execute),
)
