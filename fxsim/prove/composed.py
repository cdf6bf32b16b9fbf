"""A composed design read back from its netlist, and held to the graph: instances, connections, parameters, ROM files.

Read from the end: the stream that a node's result leaves by must come from the module that the node asks for, with its
sizes and its words, and that module's input from the one before it, down to the design's own input. What stands in the
ROM files is read as Verilog reads it and compared with the model by what it means, not by how it was written: weights
as numbers, thresholds by the level of every value, tables by every entry. Nothing here knows how designs are made.

With what is proved of each module (`schedule_composed.py`) it follows that the chain computes the network:
`docs/prove.md` has the argument.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import product
from math import lcm, prod
from typing import Any

import numpy as np

from fxsim.contract import Division, Number, Rounding, Tensor
from fxsim.contract.arithmetic import Integers
from fxsim.errors import FxsimError
from fxsim.graph import INPUT, Graph, Node
from fxsim.operators import (
    FEATURE_MAPS,
    Add,
    Affine,
    Argmax,
    Concat,
    Conv,
    Flatten,
    Linear,
    Lut,
    Matmul,
    MaxPool,
    MultiplyAdd,
    NotTaken,
    OperatorTable,
    Pool,
    Position,
    Relu,
    Rescale,
    Reshape,
    SumPool,
    Threshold,
    WeightedAdd,
)
from fxsim.prove.instances import Elaborated, contents_of
from fxsim.prove.schedule_constants import split_levels

_SIGNED, _UNSIGNED, _BIPOLAR = 0, 1, 2
_NOTS = ("$logic_not", "$not")
_PASSED = {"axis_fork": "s_axis", "axis_fifo": "s_axis"}
"""Modules that give what they take, each with the port that it takes it by."""

Bits = tuple[Any, ...]
Parameters = dict[str, int]


@dataclass(frozen=True)
class Cell:
    """An instance in a design: its module, its parameters (numbers, and names of files), and what its ports join."""

    name: str
    module: str
    numbers: Parameters
    files: dict[str, str]
    ports: Mapping[str, Bits]


class MismatchError(FxsimError):
    """A mismatch: something in a design where the graph asks for something else."""


def cells_of(found: Elaborated) -> list[Cell]:
    """The instances of an elaborated design's top that are modules of Verilog."""
    cells = []
    for name, cell in found.modules[found.top]["cells"].items():
        if cell["type"] in found.modules:
            numbers, files = _parameters(found.modules[cell["type"]])
            ports = {port: tuple(bits) for port, bits in cell["connections"].items()}
            cells.append(Cell(name, _module(cell["type"]), numbers, files, ports))
    return cells


def stated_parameters(module: str, numbers: Parameters) -> Parameters:
    """The parameters of an instance as the properties of its module have them."""
    if module != "threshold":
        return numbers
    own = dict(numbers)
    levels = own.pop("LEVELS")
    return own | {
        name: levels >> int(name[7:] or 0) & ((1 << 32) - 1)
        for name in split_levels(0, own["Y_W"] * (own["STEPS"] + 1))
    }


def _module(kind: str) -> str:
    return (kind.split("\\")[1] if kind.startswith("$paramod") else kind).removeprefix("\\")


def _parameters(module: dict[str, Any]) -> tuple[Parameters, dict[str, str]]:
    """Parameters of an elaborated module: those of bits as numbers without a sign, and texts."""
    numbers, texts = {}, {}
    for name, text in module.get("parameter_default_values", {}).items():
        if text and not text.strip("01"):
            numbers[name] = int(text, 2)
        else:
            texts[name] = text.rstrip(" ")
    return numbers, texts


def wrong_of(graph: Graph, found: Elaborated, files: Mapping[str, bytes]) -> str:
    """The mismatch of a composed design and its graph, in words; empty where there is none.

    `files`: the ROM files that it reads, by name.
    """
    try:
        _Reader(graph, found, files).read()
    except FxsimError as error:
        return str(error)
    return ""


@dataclass
class _Reader:
    graph: Graph
    found: Elaborated
    files: Mapping[str, bytes]
    cells: list[Cell] = field(default_factory=list)
    reached: set[str] = field(default_factory=set)
    words: list[tuple[Cell, str, list[int]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.top = self.found.modules[self.found.top]
        self.cells = cells_of(self.found)
        self.places: dict[str, str] = {}
        # The instance and port that drive a valid, by its bit; and those that read one.
        self.givers: dict[Any, tuple[Cell, str]] = {}
        self.readers: dict[Any, list[str]] = {}
        for cell in self.cells:
            below = self.found.modules[self._type(cell)]["ports"]
            for port in below:
                if port not in cell.ports or len(cell.ports[port]) != len(below[port]["bits"]):
                    raise MismatchError(f"'{cell.name}': its port {port} is not connected in whole")
                if port in ("clk", "rst") and cell.ports[port] != tuple(self.top["ports"][port]["bits"]):
                    raise MismatchError(f"'{cell.name}': its {port} is not the design's")
                if not port.endswith("_tvalid"):
                    continue
                bit = cell.ports[port][0]
                if below[port]["direction"] == "output":
                    self.givers[bit] = (cell, port.removesuffix("_tvalid"))
                else:
                    self.readers.setdefault(bit, []).append(f"{cell.name}.{port}")

        self._refuse_drivers()

    def _refuse_drivers(self) -> None:
        """MismatchError where two things drive one bit, or a constant drives what a module does."""
        driven = [("the design's inputs", bit) for port in self.top["ports"].values() if port["direction"] == "input"
                  for bit in port["bits"]]  # fmt: skip
        for name, cell in self.top["cells"].items():
            own = self.found.modules.get(cell["type"])
            ways = cell["port_directions"] if own is None else {p: is_["direction"] for p, is_ in own["ports"].items()}
            driven += [(f"'{name}'", bit) for port, bits in cell["connections"].items() if ways[port] != "input"
                       for bit in bits]  # fmt: skip
        seen: dict[Any, str] = {}
        for name, bit in driven:
            if not isinstance(bit, int) or bit in seen:
                raise MismatchError(f"{name} drives what {seen.get(bit, 'a constant')} drives, too")
            seen[bit] = name

    def _type(self, cell: Cell) -> str:
        return str(self.top["cells"][cell.name]["type"])

    def read(self) -> None:
        """Hold the whole to the graph, from its last result to its input."""
        graph = self.graph
        number = graph.tensors[graph.output].number
        result = {name: tuple(self.top["ports"][f"m_axis_{name}"]["bits"]) for name in ("tvalid", "tready", "tdata")}
        data = self._without_signs(result["tdata"], "m_axis") if number.bipolar else result["tdata"]
        for valid, (cell, port) in self.givers.items():
            if len(self.readers.get(valid, ())) + (valid == result["tvalid"][0]) != 1:
                raise MismatchError(f"'{cell.name}': its output {port} is not taken by one module")
        stream = self._given(result["tvalid"][0], "m_axis")
        if stream["tready"] != result["tready"] or stream["tdata"] != data:
            raise MismatchError("m_axis is not the stream of its last module")
        self._tensor(graph.output, (*stream["tvalid"], *stream["tready"], *stream["tdata"]), None)
        left = sorted({cell.name for cell in self.cells} - self.reached)
        if left:
            raise MismatchError(f"the design has '{left[0]}', of which nothing comes that the graph asks for")
        self._held()

    def _given(self, valid: Any, what: str) -> dict[str, Bits]:
        """The stream that a module gives by this valid."""
        if valid not in self.givers:
            raise MismatchError(f"{what} comes from no module")
        cell, port = self.givers[valid]
        return {name: cell.ports[f"{port}_{name}"] for name in ("tvalid", "tready", "tdata")}

    def _without_signs(self, data: Bits, where: str) -> Bits:
        """The bits that numbers -1 and 1 of two bits at the output stand for: a sign is the inverse of its bit."""
        bits = []
        inverses = {
            cell["connections"]["Y"][0]: cell["connections"]["A"][0]
            for cell in self.top["cells"].values()
            if cell["type"] in _NOTS and len(cell["connections"]["A"]) == len(cell["connections"]["Y"]) == 1
        }
        for low, high in zip(data[::2], data[1::2], strict=True):
            if low != "1" or high not in inverses:
                raise MismatchError(f"{where} shows something else than -1 and 1")
            bits.append(inverses[high])
        return tuple(bits)

    def _tensor(self, name: str, joined: Bits, lanes: int | None) -> None:
        """Hold the stream (valid, ready, data) of a tensor to the graph; `lanes`: values a beat, None: as it has."""
        valid, ready, data = joined[0], joined[1], joined[2:]
        tensor = self.graph.tensors[name]
        if len(data) % tensor.number.bits or (lanes or 1) * tensor.number.bits > len(data):
            raise MismatchError(f"the stream of '{name}' has {len(data)} bits, expected beats of {tensor.number}")
        own = len(data) // tensor.number.bits
        if tensor.shape[-1] % own or lanes not in (None, own):
            raise MismatchError(
                f"the stream of '{name}' has {own} values a beat, expected {lanes or 'a divisor'} "
                f"of {tensor.shape[-1]} channels"
            )
        if valid in self.givers:
            cell, port = self.givers[valid]
            if (cell.ports[f"{port}_tready"], cell.ports[f"{port}_tdata"]) != ((ready,), data):
                raise MismatchError(f"'{cell.name}': its output {port} is joined to other data or another ready")
            if cell.module in _PASSED:
                self._expect(cell, f"'{name}'", {"DATA_W": len(data)})
                self.reached.add(cell.name)
                self._tensor(name, self._input(cell, _PASSED[cell.module]), own)
                return
        if name == INPUT:
            self._of_input(joined, tensor)
            return
        (node,) = (node for node in self.graph.nodes if node.name == name)
        if isinstance(node.op, Flatten | Reshape):
            if node.op.order != tuple(range(len(self.graph.tensors[node.inputs[0]].axes))):
                word = "flattens" if isinstance(node.op, Flatten) else "reshapes"
                raise MismatchError(f"node '{name}' {word} in the order {node.op.order}, which no module does")
            self._tensor(node.inputs[0], joined, own)
            return
        if valid not in self.givers:
            raise MismatchError(f"the stream of '{name}' comes from no module")
        cell, _ = self.givers[valid]
        if self.places.setdefault(name, cell.name) != cell.name:
            raise MismatchError(f"'{name}' is made twice, by '{self.places[name]}' and '{cell.name}'")
        if cell.name in self.reached:
            return
        _CHECKS[type(node.op)](self, node, cell, own)
        self.reached.add(cell.name)

    def _of_input(self, joined: Bits, tensor: Tensor) -> None:
        ports = {name: tuple(self.top["ports"][f"s_axis_{name}"]["bits"]) for name in ("tvalid", "tready", "tdata")}
        data = joined[2:]
        if tensor.number.bipolar:
            inverses = {
                cell["connections"]["Y"][0]: cell["connections"]["A"][0]
                for cell in self.top["cells"].values()
                if cell["type"] in _NOTS and len(cell["connections"]["A"]) == len(cell["connections"]["Y"]) == 1
            }
            data = tuple(inverses.get(bit) for bit in data)
            if data != ports["tdata"][1::2] or len(ports["tdata"]) != 2 * len(data):
                raise MismatchError("the input is not the signs of s_axis")
        elif data != ports["tdata"]:
            raise MismatchError("the input is not the data of s_axis")
        if (joined[0],) != ports["tvalid"] or (joined[1],) != ports["tready"]:
            raise MismatchError("the input is not the stream s_axis")

    def _input(self, cell: Cell, port: str) -> Bits:
        """The stream (valid, ready, data) that an instance takes by a port, which nothing else takes."""
        valid = cell.ports[f"{port}_tvalid"][0]
        if self.readers[valid] != [f"{cell.name}.{port}_tvalid"]:
            raise MismatchError(f"{' and '.join(self.readers[valid])} take one stream")
        return (valid, *cell.ports[f"{port}_tready"], *cell.ports[f"{port}_tdata"])

    def _expect(self, cell: Cell, what: str, asked: Parameters, module: str = "") -> None:
        """MismatchError unless an instance is of a module, and has these parameters."""
        if module and cell.module != module:
            raise MismatchError(f"'{cell.name}' is {cell.module}, {what} asks for {module}")
        for name, value in asked.items():
            if cell.numbers.get(name) != value:
                raise MismatchError(
                    f"'{cell.name}' ({cell.module}) has {name} {cell.numbers.get(name)}, {what} asks for {value}"
                )

    def _words(self, cell: Cell, parameter: str, count: int, bits: int) -> list[int]:
        """The words of a ROM as $readmemh reads them; MismatchError where there are not so many, of so many bits."""
        name = cell.files.get(parameter, "")
        if name not in self.files:
            raise MismatchError(f"'{cell.name}' reads '{name}', which is no file of the design")
        texts = self.files[name].decode("ascii", "replace").split()
        if len(texts) != count:
            raise MismatchError(f"{name} has {len(texts)} words, '{cell.name}' asks for {count}")
        words = []
        for at, text in enumerate(texts):
            if text.strip("0123456789abcdefABCDEF") or int(text, 16) >> bits:
                raise MismatchError(f"{name}: word {at} is '{text[:40]}', expected a hexadecimal number of {bits} bits")
            words.append(int(text, 16))
        self.words.append((cell, name, words))
        return words

    def _held(self) -> None:
        """MismatchError where an instance's memories do not begin with the words of its file, all of them."""
        for cell, name, words in self.words:
            held = contents_of(self.found.modules[self._type(cell)])
            if not held:
                raise MismatchError(f"'{cell.name}' has no memory with the words of {name}")
            for memory, own in held.items():
                if own != dict(enumerate(words)):
                    raise MismatchError(f"'{cell.name}': its memory {memory} does not hold the words of {name}")

    # --- Nodes -------------------------------------------------------------------------------------------------------

    def windows(self, node: Node, cell: Cell, lanes: int, signs: bool, window: tuple[Any, ...]) -> None:
        """Hold what gives an instance the windows of its node's input to the node.

        `window`: kernel, stride, dilation, padding; `signs`: whether bits leave as numbers of two bits.
        """
        kernel, stride, dilation, padding = window
        name = node.inputs[0]
        tensor = self.graph.tensors[name]
        rows, columns = tensor.shape[:-1] or (1, 1)
        stream = self._input(cell, "s_axis")
        giver = self.givers.get(stream[0])
        if giver is None or giver[0].module != "image_window":
            top, left, bottom, right = padding
            spans = [dilation[i] * (kernel[i] - 1) + 1 for i in range(2)]
            places = (
                range(0, rows + top + bottom - spans[0] + 1, stride[0]),
                range(0, columns + left + right - spans[1] + 1, stride[1]),
            )
            order = [
                (r + dilation[0] * i - top, c + dilation[1] * j - left)
                for r, c in product(*places)
                for i, j in product(range(kernel[0]), range(kernel[1]))
            ]
            if order != list(product(range(rows), range(columns))):
                raise MismatchError(f"'{cell.name}' has no image_window before it, which node '{node.name}' asks for")
            if signs:
                raise MismatchError(f"'{cell.name}' takes numbers of two bits, '{name}' is bits")
            self._tensor(name, stream, lanes)
            return
        window_cell, port = giver
        bits = tensor.number.bits
        asked = {
            "ROWS": rows, "COLUMNS": columns, "WORDS": tensor.shape[-1] // lanes, "DATA_W": lanes * bits,
            "BIPOLAR": int(signs),
        }  # fmt: skip
        for word, pair in (("KERNEL", kernel), ("STRIDE", stride), ("DILATION", dilation)):
            asked |= {f"{word}_ROWS": pair[0], f"{word}_COLUMNS": pair[1]}
        asked |= dict(zip(("PAD_TOP", "PAD_LEFT", "PAD_BOTTOM", "PAD_RIGHT"), padding, strict=True))
        self._expect(window_cell, f"node '{node.name}'", asked)
        if window_cell.ports[f"{port}_tready"] != stream[1:2] or window_cell.ports[f"{port}_tdata"] != stream[2:]:
            raise MismatchError(f"'{window_cell.name}': its output is joined to other data or another ready")
        self.reached.add(window_cell.name)
        self._tensor(name, self._input(window_cell, "s_axis"), lanes)

    def sums(self, node: Node, cell: Cell, own: int) -> None:
        """Hold an instance of few_linear to a convolution, or a linear over channels, or window_sum to a depthwise one.

        Where a convolution has several groups, few_linear has weights of 0 for the channels of the others.
        """
        op: Any = node.op
        if isinstance(op, Conv) and cell.module == "window_sum":
            self.depthwise(node, cell, own)
            return
        what, x, y = f"node '{node.name}'", self.graph.tensors[node.inputs[0]], self.graph.tensors[node.name]
        conv = isinstance(op, Conv)
        weight, number = _whole_weight(op) if conv else (op.weight, op.weight_number)
        weight = weight.reshape(len(weight), -1).astype(np.int64)
        self._expect(cell, what, {}, "few_linear")
        lanes = cell.numbers["LANES"]
        if lanes < 1 or x.shape[-1] % lanes:
            raise MismatchError(
                f"'{cell.name}' takes {lanes} values a beat, '{node.inputs[0]}' has {x.shape[-1]} channels"
            )
        if not conv and (op.shift.any() or op.bias.any() or op.over.value != "channels"):
            raise MismatchError(f"{what} shifts or moves its sums, or sums over tokens, which few_linear does not")
        signs = conv and x.number.bipolar and any(op.padding)
        asked = {
            "BEATS": weight.shape[1] // lanes,
            "OUT": len(weight),
            "OUT_LANES": own,
            "X_W": 2 if signs else x.number.bits,
            "X_KIND": _SIGNED if signs else _kind(x.number),
            "W_W": number.bits,
            "W_BIPOLAR": int(number.bipolar),
            "ACC_W": y.number.bits,
        }
        self._expect(cell, what, asked)
        _refuse_narrow(what, weight, x.number, y.number)
        bits, size = number.bits, weight.shape[1]
        words = self._words(cell, "W_FILE", len(weight) // own, own * size * bits)
        for n, row in enumerate(weight.tolist()):
            word = words[n // own] >> (n % own * size * bits)
            stored = [_value(word >> (bits * k) & ((1 << bits) - 1), number) for k in range(size)]
            if stored != row:
                k = next(k for k in range(size) if stored[k] != row[k])
                raise MismatchError(
                    f"{cell.files['W_FILE']}: weight {k} of output {n} is {stored[k]}, {what} has {row[k]}"
                )
        if conv:
            kernel = op.weight.shape[1:3]
            self.windows(node, cell, lanes, signs, (kernel, op.stride, op.dilation, op.padding))
        else:
            self._tensor(node.inputs[0], self._input(cell, "s_axis"), lanes)

    def depthwise(self, node: Node, cell: Cell, own: int) -> None:
        """Hold an instance of window_sum to a convolution of a group for each channel, with one output each."""
        op: Any = node.op
        what, x, y = f"node '{node.name}'", self.graph.tensors[node.inputs[0]], self.graph.tensors[node.name]
        channels, rows, columns, each = op.weight.shape
        if not op.groups == channels == x.shape[-1] or each != 1:
            raise MismatchError(f"{what} is no convolution of one channel each, which window_sum is")
        weight: Integers = op.weight.reshape(channels, -1).astype(np.int64)
        _refuse_narrow(what, weight, x.number, y.number)
        signs = x.number.bipolar and any(op.padding)
        bits = cell.numbers["W_W"]
        self.window_sums(node, cell, own, rows * columns, signs, y.number.bits)
        if bits < 1:
            raise MismatchError(f"'{cell.name}' has no weights, {what} has")
        words = self._words(cell, "W_FILE", rows * columns * channels // own, own * bits)
        for c, place in product(range(channels), range(rows * columns)):
            word = words[place * (channels // own) + c // own] >> (c % own * bits)
            stored = _signed(word & ((1 << bits) - 1), bits)
            if stored != weight[c, place]:
                raise MismatchError(
                    f"{cell.files['W_FILE']}: weight {place} of channel {c} is {stored}, {what} has {weight[c, place]}"
                )
        self.windows(node, cell, own, signs, ((rows, columns), op.stride, op.dilation, op.padding))

    def window_sums(self, node: Node, cell: Cell, own: int, places: int, signs: bool, bits: int) -> None:
        """MismatchError unless an instance is a window_sum of so many places of a node's input, `bits` wide."""
        x = self.graph.tensors[node.inputs[0]]
        asked = {
            "PLACES": places,
            "WORDS": x.shape[-1] // own,
            "LANES": own,
            "X_W": 2 if signs else x.number.bits,
            "X_KIND": _SIGNED if signs else _kind(x.number),
            "ACC_W": bits,
        }
        self._expect(cell, f"node '{node.name}'", asked, "window_sum")

    def threshold(self, node: Node, cell: Cell, own: int) -> None:
        """Hold an instance of threshold to a node: the level of every value of every channel."""
        op: Any = node.op
        what, x, y = f"node '{node.name}'", self.graph.tensors[node.inputs[0]], self.graph.tensors[node.name]
        channels, steps = op.threshold.shape
        signed = x.number.signed and not x.number.bipolar
        asked = {"CHANNELS": channels, "LANES": own, "X_W": x.number.bits, "X_SIGNED": int(signed), "STEPS": steps,
                 "Y_W": y.number.bits}  # fmt: skip
        self._expect(cell, what, asked, "threshold")
        width, bits = y.number.bits, x.number.bits + 2 - signed
        given = [cell.numbers["LEVELS"] >> (width * k) & ((1 << width) - 1) for k in range(steps + 1)]
        levels = [_value(code, y.number) for code in given]
        size = steps * bits + 1
        words = self._words(cell, "T_FILE", channels // own, own * size)
        low, high = (0, 1) if x.number.bipolar else (x.number.low, x.number.high)
        for c in range(channels):
            word = words[c // own] >> (c % own * size)
            falls = word >> (size - 1) & 1
            stored = [_signed(word >> (bits * k) & ((1 << bits) - 1), bits) for k in range(steps)]
            if stored != sorted(stored):
                raise MismatchError(f"{cell.files['T_FILE']}: thresholds of channel {c} do not ascend")
            own_steps = [~t if falls else t for t in stored]
            asked_steps = op.threshold[c].tolist()
            # Of a code the value is the code, or of a bit twice the bit less one; both are steps, alike where they are
            # alike on both sides of each of theirs.
            codes = {low, high}
            for t in own_steps:
                codes |= {t - 1, t, t + 1}
            for t in asked_steps:
                codes |= {t - 1, t, t + 1}
            for code in (code for code in codes if low <= code <= high):
                value = 2 * code - 1 if x.number.bipolar else code
                has = levels[sum(code <= t if falls else code >= t for t in own_steps)]
                asks = int(op.levels[sum(value >= t if op.rising[c] else value <= t for t in asked_steps)])
                if has != asks:
                    raise MismatchError(
                        f"'{cell.name}', {cell.files['T_FILE']}: of channel {c} the value {value} has level {has}, "
                        f"{what} has {asks}"
                    )
        self._tensor(node.inputs[0], self._input(cell, "s_axis"), own)

    def affine(self, node: Node, cell: Cell, own: int) -> None:
        """Hold an instance of few_affine to a node that scales each value, or moves it, by constants."""
        rows = _constants(node)
        x = self.graph.tensors[node.inputs[0]].number
        rounding = _ROUNDINGS[node.op.rounding] if isinstance(node.op, Rescale) else 0
        self.scaled(node, cell, own, rows, x, (x.low, x.high), isinstance(node.op, Relu), rounding)
        self._tensor(node.inputs[0], self._input(cell, "s_axis"), own)

    def sum_pool(self, node: Node, cell: Cell, own: int) -> None:
        """Hold an instance of few_affine, and that of window_sum before it, to sums of windows that are divided."""
        op: Any = node.op
        what, x = f"node '{node.name}'", self.graph.tensors[node.inputs[0]]
        places, shift = op.kernel[0] * op.kernel[1], op.divisor.bit_length() - 1
        if op.saturating or op.divisor != 1 << shift or (op.rounding is Division.ZERO and x.number.low < 0):
            raise MismatchError(f"{what} saturates or divides its sums as window_sum and few_affine do not")
        # Rounded down; towards zero is down where nothing is negative.
        added = 0 if op.rounding is Division.HALF_UP else -(1 << shift >> 1)
        self._expect(cell, what, {}, "few_affine")
        sums, low, high = Number(cell.numbers["X_W"]), places * x.number.low, places * x.number.high
        if low < sums.low or high > sums.high:
            raise MismatchError(f"{what} has sums of {low} to {high}, which {sums} does not hold")
        self.scaled(node, cell, own, [(1, added, shift, 0)], sums, (low, high))
        stream = self._input(cell, "s_axis")
        before, port = self.givers.get(stream[0], (cell, ""))
        self.window_sums(node, before, own, places, False, sums.bits)
        self._expect(before, what, {"W_W": 0})
        if (before.ports[f"{port}_tready"], before.ports[f"{port}_tdata"]) != (stream[1:2], stream[2:]):
            raise MismatchError(f"'{before.name}': its output is joined to other data or another ready")
        self.reached.add(before.name)
        self.windows(node, before, own, False, (op.kernel, op.stride, (1, 1), (0, 0, 0, 0)))

    def scaled(
        self,
        node: Node,
        cell: Cell,
        own: int,
        rows: list[tuple[int, ...]],
        x: Number,
        values: tuple[int, int],
        relu: bool = False,
        rounding: int = 0,
    ) -> None:
        """Hold an instance of few_affine to clip(floor((x w + a) / 2^s + 1/2) + b), clipped to the node's format.

        `rows`: w, a, s, b of each value, which come round with the values of an image; `values`: the least and
        the greatest x; `relu`: nothing is below 0; `rounding`: where ties go, as the module has it.
        """
        y = self.graph.tensors[node.name]
        asked = {"LANES": own, "X_W": x.bits, "X_SIGNED": int(x.signed), "Y_W": y.number.bits,
                 "Y_SIGNED": int(y.number.signed), "RELU": int(relu), "ROUNDING": rounding}  # fmt: skip
        self._expect(cell, f"node '{node.name}'", asked, "few_affine")
        if x.bipolar or y.number.bipolar:
            raise MismatchError(f"node '{node.name}' scales bits of -1 and 1, which few_affine does not")
        widths = [cell.numbers[f"{letter}_W"] for letter in "WASB"]
        self._rounds(node, cell, rows, widths, "wasb", lambda w, a: [w * end + a for end in values])

    def weighted_add(self, node: Node, cell: Cell, own: int) -> None:
        """Hold an instance of few_weighted_add to a node."""
        op: Any = node.op
        what, y = f"node '{node.name}'", self.graph.tensors[node.name]
        x, r = (self.graph.tensors[name].number for name in node.inputs)
        if x.bipolar or r.bipolar or y.number.bipolar:
            raise MismatchError(f"{what} joins bits of -1 and 1, which few_weighted_add does not")
        asked = {"LANES": own, "X_W": x.bits, "X_SIGNED": int(x.signed), "R_W": r.bits, "R_SIGNED": int(r.signed),
                 "Y_W": y.number.bits, "Y_SIGNED": int(y.number.signed)}  # fmt: skip
        self._expect(cell, what, asked, "few_weighted_add")
        rows = list(zip(*op.weight.tolist(), op.shift.tolist(), strict=True))
        widths = [cell.numbers["W_W"], cell.numbers["W_W"], cell.numbers["S_W"]]

        def ends(w: int, v: int) -> list[int]:
            return [sum(both) for both in zip(_ends(w, x), _ends(v, r), strict=True)]

        self._rounds(node, cell, rows, widths, "wvs", ends)
        for port, name in zip(("s0_axis", "s1_axis"), node.inputs, strict=True):
            self._tensor(name, self._input(cell, port), own)

    def _rounds(
        self,
        node: Node,
        cell: Cell,
        rows: list[tuple[int, ...]],
        widths: list[int],
        names: str,
        ends: Callable[[int, int], list[int]],
    ) -> None:
        """Hold the constants that come round in an instance's ROM to those of each value of an image.

        `rows`: of each value; `widths`: of each constant in the ROM, in bits, with a letter of `names`, of which only s
        has no sign; one of 0 bits is 1. `ends`: of the first two constants the least and the greatest sum of products.
        """
        what, size = f"node '{node.name}'", self.graph.tensors[node.name].size
        lanes, period, each = cell.numbers["LANES"], cell.numbers["PERIOD"], sum(widths)
        if period < 1 or period % lanes or size % period:
            raise MismatchError(
                f"'{cell.name}' ({cell.module}) has PERIOD {period}, {what} asks for a divisor of {size} values"
            )
        words = self._words(cell, "C_FILE", period // lanes, lanes * each)
        stored = []
        for c in range(period):
            word, numbers = words[c // lanes] >> (c % lanes * each), []
            for name, bits in zip(names, widths, strict=True):
                code = word & ((1 << bits) - 1)
                numbers.append(1 if not bits else code if name == "s" else _signed(code, bits))
                word >>= bits
            stored.append(tuple(numbers))
        for i in range(lcm(period, len(rows))):
            if stored[i % period] != rows[i % len(rows)]:
                k = next(k for k, name in enumerate(names) if stored[i % period][k] != rows[i % len(rows)][k])
                raise MismatchError(
                    f"{cell.files['C_FILE']}: {names[k]} of value {i} is {stored[i % period][k]}, {what} has "
                    f"{rows[i % len(rows)][k]}"
                )
        beyond = 1 << (cell.numbers["ACC_W"] - 1)
        for first, second, *_ in stored:
            wrong = [end for end in ends(first, second) if not -beyond <= end < beyond]
            if wrong:
                raise MismatchError(f"'{cell.name}' sums in {cell.numbers['ACC_W']} bits, {what} makes {wrong[0]}")

    def table(self, node: Node, cell: Cell, own: int) -> None:
        """Hold an instance of full_table to a node: every entry of every channel."""
        op: Any = node.op
        what, x, y = f"node '{node.name}'", self.graph.tensors[node.inputs[0]], self.graph.tensors[node.name]
        channels, codes = x.shape[-1], 1 << x.number.bits
        if op.table.shape != (channels, codes) or op.rule.value != "full" or x.number.bipolar:
            raise MismatchError(f"{what} has no full table of every value of {x.number}, which full_table holds")
        asked = {"CHANNELS": channels, "LANES": own, "X_W": x.number.bits, "X_SIGNED": int(x.number.signed),
                 "Y_W": y.number.bits}  # fmt: skip
        self._expect(cell, what, asked, "full_table")
        width = y.number.bits
        words = self._words(cell, "T_FILE", channels // own * codes, own * width)
        for c in range(channels):
            for code, asks in enumerate(op.table[c].tolist()):
                word = words[c // own * codes + code] >> (c % own * width)
                has = _value(word & ((1 << width) - 1), y.number)
                if has != asks:
                    raise MismatchError(
                        f"{cell.files['T_FILE']}: of channel {c} the value {x.number.low + code} has {has}, {what} has "
                        f"{asks}"
                    )
        self._tensor(node.inputs[0], self._input(cell, "s_axis"), own)

    def greatest(self, node: Node, cell: Cell, own: int) -> None:
        """Hold an instance of window_max to a node."""
        op: Any = node.op
        x = self.graph.tensors[node.inputs[0]]
        signed = x.number.signed and not x.number.bipolar
        asked = {"PLACES": op.kernel[0] * op.kernel[1], "WORDS": x.shape[-1] // own, "LANES": own,
                 "X_W": x.number.bits, "X_SIGNED": int(signed)}  # fmt: skip
        self._expect(cell, f"node '{node.name}'", asked, "window_max")
        self.windows(node, cell, own, False, (op.kernel, op.stride, (1, 1), (0, 0, 0, 0)))

    def add(self, node: Node, cell: Cell, own: int) -> None:
        """Hold an instance of few_add to a node."""
        what, y = f"node '{node.name}'", self.graph.tensors[node.name]
        asked = {"LANES": own, "Y_W": y.number.bits, "Y_SIGNED": int(y.number.signed)}
        for letter, name in zip("XR", node.inputs, strict=True):
            number = self.graph.tensors[name].number
            if number.bipolar or y.number.bipolar:
                raise MismatchError(f"{what} adds bits of -1 and 1, which few_add does not")
            asked |= {f"{letter}_W": number.bits, f"{letter}_SIGNED": int(number.signed)}
        self._expect(cell, what, asked, "few_add")
        for port, name in zip(("s0_axis", "s1_axis"), node.inputs, strict=True):
            self._tensor(name, self._input(cell, port), own)

    def concat(self, node: Node, cell: Cell, own: int) -> None:
        """Hold an instance of channel_concat to a node: the first input's channels, then the second's."""
        tensors = [self.graph.tensors[name] for name in node.inputs]
        words = [tensor.shape[-1] // own for tensor in tensors]
        asked = {"X_WORDS": words[0], "R_WORDS": words[1], "DATA_W": own * tensors[0].number.bits}
        self._expect(cell, f"node '{node.name}'", asked, "channel_concat")
        for port, name in zip(("s0_axis", "s1_axis"), node.inputs, strict=True):
            self._tensor(name, self._input(cell, port), own)

    def products(self, node: Node, cell: Cell, own: int) -> None:
        """Hold an instance of few_matmul to a node: x is the first input, whose rows stream, r the second."""
        op: Any = node.op
        what, y = f"node '{node.name}'", self.graph.tensors[node.name]
        x, r = (self.graph.tensors[name] for name in node.inputs)
        if x.number.bipolar or r.number.bipolar:
            raise MismatchError(f"{what} multiplies bits of -1 and 1, which '{cell.module}' does not")
        ends = [a * b for a, b in product((x.number.low, x.number.high), (r.number.low, r.number.high))]
        low, high = op.terms * min(ends), op.terms * max(ends)
        if not y.number.signed or y.number.bipolar or low < y.number.low or high > y.number.high:
            raise MismatchError(f"{what} has sums of {low} to {high}, which {y.number} does not hold")
        if cell.module == "few_product":
            self.one_by_one(node, cell, own)
            return
        streams = [self._input(cell, port) for port in ("s0_axis", "s1_axis")]
        lanes = [(len(stream) - 2) // each.number.bits for stream, each in zip(streams, (x, r), strict=True)]
        asked = {
            "PLACES": prod(x.shape[:-1]),
            "HEADS": op.heads,
            "TERMS": op.terms,
            "COLUMNS": prod(r.shape[:-1]) if op.transposed else r.shape[-1] // op.heads,
            "TRANSPOSED": int(op.transposed),
            "X_LANES": lanes[0],
            "R_LANES": lanes[1],
            "OUT_LANES": own,
            "X_W": x.number.bits,
            "X_SIGNED": int(x.number.signed),
            "R_W": r.number.bits,
            "R_SIGNED": int(r.number.signed),
            "ACC_W": y.number.bits,
        }
        self._expect(cell, what, asked, "few_matmul")
        if (asked["TERMS"] % lanes[1] if op.transposed else lanes[1] != own) or asked["COLUMNS"] % own:
            raise MismatchError(f"'{cell.name}' takes {lanes[1]} values of '{node.inputs[1]}' a beat, gives {own}")
        for stream, name, count in zip(streams, node.inputs, lanes, strict=True):
            self._tensor(name, stream, count)

    def one_by_one(self, node: Node, cell: Cell, own: int) -> None:
        """Hold an instance of few_product to a node: a single place, each value of x with those of its head of r."""
        op: Any = node.op
        what, y = f"node '{node.name}'", self.graph.tensors[node.name]
        x, r = (self.graph.tensors[name] for name in node.inputs)
        if op.terms != 1 or prod(x.shape[:-1]) != 1 or prod(r.shape[:-1]) != 1:
            raise MismatchError(f"{what} has sums of several products, or several places, which few_product has not")
        asked = {
            "COLUMNS": r.shape[-1] // op.heads,
            "LANES": own,
            "X_W": x.number.bits,
            "X_SIGNED": int(x.number.signed),
            "R_W": r.number.bits,
            "R_SIGNED": int(r.number.signed),
            "Y_W": y.number.bits,
        }
        self._expect(cell, what, asked, "few_product")
        if asked["COLUMNS"] % own:
            raise MismatchError(f"'{cell.name}' gives {own} products a beat, {what} has {asked['COLUMNS']} a head")
        for port, name, lanes in zip(("s0_axis", "s1_axis"), node.inputs, (1, own), strict=True):
            self._tensor(name, self._input(cell, port), lanes)

    def argmax(self, node: Node, cell: Cell, own: int) -> None:
        """Hold an instance of channel_argmax to a node."""
        op: Any = node.op
        x, y = self.graph.tensors[node.inputs[0]], self.graph.tensors[node.name]
        stream = self._input(cell, "s_axis")
        lanes = (len(stream) - 2) // x.number.bits
        asked = {
            "WORDS": x.shape[-1] // max(1, lanes),
            "LANES": lanes,
            "CLASSES": op.classes,
            "X_W": x.number.bits,
            "X_SIGNED": int(x.number.signed and not x.number.bipolar),
            "Y_W": own * y.number.bits,
        }
        self._expect(cell, f"node '{node.name}'", asked, "channel_argmax")
        self._tensor(node.inputs[0], stream, lanes)


def _whole_weight(op: Conv) -> tuple[Integers, Number]:
    """The weights of a convolution for all channels of its input, and their format: 0 for those of other groups.

    Bits of -1 and 1 have no 0: these are numbers of two bits then.
    """
    if op.groups == 1:
        return op.weight, op.weight_number
    outputs, rows, columns, each = op.weight.shape
    whole = np.zeros((outputs, rows, columns, each * op.groups), np.int64)
    for n in range(outputs):
        first = n // (outputs // op.groups) * each
        whole[n, :, :, first : first + each] = op.weight[n]
    return whole, Number(2) if op.weight_number.bipolar else op.weight_number


def _refuse_narrow(what: str, weight: Integers, x: Number, y: Number) -> None:
    """MismatchError where sums of all values times weights, [sums, values], do not fit their format."""
    ends = np.stack([weight * x.low, weight * x.high])
    low, high = int(ends.min(0).sum(1).min()), int(ends.max(0).sum(1).max())
    if not y.signed or y.bipolar or low < y.low or high > y.high:
        raise MismatchError(f"{what} has sums of {low} to {high}, which {y} does not hold")


_ROUNDINGS = {Rounding.HALF_UP: 0, Rounding.FLOOR: 0, Rounding.HALF_EVEN: 1, Rounding.HALF_AWAY: 2, Rounding.DOUBLE: 3}
"""ROUNDING of a few_affine that a rescale asks for; one that rounds down by its constants."""


def _constants(node: Node) -> list[tuple[int, ...]]:
    """The w, a, s, b of each value that a node makes clip(floor((x w + a) / 2^s + 1/2) + b) of, in their order."""
    op: Any = node.op
    if isinstance(op, Relu):
        return [(1, 0, 0, 0)]
    if isinstance(op, Position):
        return [(1, a, 0, 0) for a in op.table.reshape(-1).tolist()]
    if isinstance(op, Affine):
        columns = op.weight, 0 * op.shift, op.shift, op.bias
    elif isinstance(op, MultiplyAdd):
        columns = op.weight, op.bias, op.shift, 0 * op.shift
    else:
        assert isinstance(op, Rescale)
        columns = op.multiplier, 0 * op.shift, op.shift, op.bias
    rows = [*zip(*(column.tolist() for column in columns), strict=True)]
    if not isinstance(op, Rescale):
        return rows
    # Of whole numbers n, floor(n / 2^s) = floor((n - 2^(s - 1)) / 2^s + 1/2) where s is not 0; and twice is first
    # floor((n + 2^30) / 2^31), which is all that few_affine sees of a shift above 31.
    below = [
        (1 << s >> 1)
        if op.rounding is Rounding.FLOOR
        else -(1 << 30)
        if op.rounding is Rounding.DOUBLE and s > 31
        else 0
        for _, _, s, _ in rows
    ]
    addends = op.addend.tolist()
    return [(w, w * addend - half, s, b) for (w, _, s, b), addend, half in zip(rows, addends, below, strict=True)]


def _ends(factor: int, number: Number) -> list[int]:
    """The least and the greatest product of a factor with a value of a format."""
    return sorted((factor * number.low, factor * number.high))


def _kind(number: Number) -> int:
    return _BIPOLAR if number.bipolar else _SIGNED if number.signed else _UNSIGNED


def _signed(code: int, bits: int) -> int:
    return code - (code >> (bits - 1) << bits)


def _value(code: int, number: Number) -> int:
    """The value that bits stand for in a format."""
    return 2 * code - 1 if number.bipolar else _signed(code, number.bits) if number.signed else code


_Check = Callable[[_Reader, Node, Cell, int], None]
_NOT_TAKEN = NotTaken("because no module of it is proved")

_CHECKS: OperatorTable[_Check] = OperatorTable(
    "the proof of a composed design",
    {
        Conv: _Reader.sums,
        Linear: _Reader.sums,
        Threshold: _Reader.threshold,
        Lut: _Reader.table,
        MaxPool: _Reader.greatest,
        Add: _Reader.add,
        Pool: _NOT_TAKEN,
        **dict.fromkeys(FEATURE_MAPS, _NOT_TAKEN),
        **dict.fromkeys((Affine, MultiplyAdd, Position, Relu, Rescale), _Reader.affine),
        SumPool: _Reader.sum_pool,
        WeightedAdd: _Reader.weighted_add,
        Argmax: _Reader.argmax,
        Concat: _Reader.concat,
        Matmul: _Reader.products,
        **dict.fromkeys((Flatten, Reshape), NotTaken("because its result is its input's stream")),
    },
)
