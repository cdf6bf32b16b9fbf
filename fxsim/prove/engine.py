"""The compiled engine against the contract, for every input of everything that has finitely many.

Functions of one value (tables, affines, ReLUs) run in the engine's own kernels on all 256 inputs, in each column of a
panel and in each part of a step; sums on all 256 x 256. Of a linear the packed weights are compared with the model's,
a solver decides that the packed start value, shift and bias requantise every sum of the proven range as the contract
does, runs of sums in 16 bits are followed at both ends of their inputs, and the kernels run on both sides of each
threshold that its weights can reach. A pool runs on every sum.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fxsim.contract import INT8_MIN, TableRule
from fxsim.engines.compiled import instruction_set, run_compiled
from fxsim.engines.compiled.isa import Isa
from fxsim.engines.compiled.layout import PANEL, TOKENS_STEP, Panels, panels
from fxsim.engines.compiled.products import lane_order
from fxsim.engines.compiled.program import LOWER, find_ranges
from fxsim.engines.compiled.ranges import Range
from fxsim.errors import ModelError
from fxsim.graph import INPUT, Graph, Model, Node, refuse_beyond_int8
from fxsim.operators import (
    FEATURE_MAPS,
    Add,
    Affine,
    Axis,
    Conv,
    Linear,
    Lut,
    MaxPool,
    NotTaken,
    OperatorTable,
    Pool,
    Relu,
    Threshold,
)
from fxsim.prove import solver, statement
from fxsim.prove.evidence import Evidence
from fxsim.prove.solver import Answer, decide, number

Integers = npt.NDArray[np.int64]

_AT_ONCE = 1 << 24
"""Most values of one tensor that the engine computes at once."""
_IDENTITY_CHANNELS_MAX = 512
"""Most channels of a function that is run before and behind a linear: the identity has their square of weights."""
_SUMS_MAX = 1 << 22
"""Most sums of a pool that are all run; of more only the thresholds are."""
_CODES = np.arange(256) + INT8_MIN

NOT_PROVED = (
    "the engine's loops: that a linear's kernels add up all products, and a pool's all tokens, for every input",
    "the ranges of inputs that sums in 16 bits rest on, where the instruction set makes such: as lowering found them",
    "the choice of steps: nodes computed together run here with one function each, before, behind and beside a linear",
)


@dataclass(frozen=True)
class Checked:
    """One node: `cases` inputs or sums were computed or decided; `wrong` says where it differs, empty where nowhere.

    `what`: what holds for all of them.
    """

    node: str
    operator: str
    what: str
    cases: int
    wrong: str = ""
    skipped: str = ""


@dataclass(frozen=True)
class EngineProof:
    """The engine's proof for a model on one instruction set."""

    isa: str
    nodes: tuple[Checked, ...]
    not_proved: tuple[str, ...] = NOT_PROVED

    @property
    def proved(self) -> bool:
        """Whether something was looked at, and nothing differs anywhere."""
        return bool(self.nodes) and not any(node.wrong for node in self.nodes)


def prove_engine(
    model: Model,
    isa: str | None = None,
    evidence: Evidence | None = None,
    status: Callable[[int, int], None] | None = None,
) -> EngineProof:
    """Prove what is finite of the compiled engine for a model; `isa`: see `fxsim.engines.compiled.instruction_set`.

    ModelError where the engine does not take the model.
    """
    refuse_beyond_int8(model.graph, "the proof of the compiled engine")
    kind = instruction_set(isa)
    checked: list[Checked] = []
    claims: dict[str, Any] = {"isa": kind.name, "nodes": {}}
    for done, node in enumerate(model.graph.nodes):
        if status is not None:
            status(done, len(model.graph.nodes))
        try:
            check = CHECKS[type(node.op)]
        except ModelError as error:
            raise ModelError(f"node '{node.name}': {error}") from None
        checked += check(model.graph, node, kind, evidence, claims["nodes"])
    if evidence is not None:
        evidence.add("engine", claims)
    return EngineProof(kind.name, tuple(checked))


_Claims = dict[str, Any]


# --- Functions of one value ------------------------------------------------------------------------------------------


def table_of(op: Any, channels: int) -> list[list[int]]:
    """The values of an affine, a table or a ReLU at all 256 inputs, by channel, from the statement of the contract."""
    if isinstance(op, Relu):
        return [[max(int(x), 0) for x in _CODES]] * channels
    if isinstance(op, Lut):
        return [[statement.looked_up(stored, op.rule, int(x)) for x in _CODES] for stored in op.table.tolist()]
    constants = zip(op.weight.tolist(), op.shift.tolist(), op.bias.tolist(), strict=True)
    return [[statement.requantised(int(x) * w, s, b) for x in _CODES] for w, s, b in constants]


def _function(graph: Graph, node: Node, isa: Isa, evidence: Evidence | None, claims: _Claims) -> Iterator[Checked]:
    channels = graph.shapes[node.name][-1]
    expected = np.array(table_of(node.op, channels), np.int64)
    op: Any = node.op
    kind = op.kind
    f = Node("f", op, (INPUT,))
    shapes = {"alone": ([f], "f", expected)}
    total = np.clip(expected + _CODES, -128, 127)
    shapes["beside a sum"] = ([f, Node("sum", Add(), (INPUT, "f"))], "sum", total)
    skipped = ""
    if channels <= _IDENTITY_CHANNELS_MAX:
        one = np.eye(channels, dtype=np.int8)
        nothing = np.zeros(channels, np.int8)
        identity = Linear(one, nothing, nothing.view(np.uint8))
        shapes["before a linear"] = ([f, Node("same", identity, ("f",))], "same", expected)
        shapes["behind a linear"] = ([Node("same", identity, (INPUT,)), Node("f", op, ("same",))], "f", expected)
    else:
        skipped = f"before and behind a linear: more than {_IDENTITY_CHANNELS_MAX} channels"
    wrong = ""
    for place, (nodes, tap, wanted) in shapes.items():
        found = _every_value(Graph((256, channels), nodes), tap, wanted, isa)
        if found:
            wrong = wrong or f"{place}: {found}"
    if evidence is not None:
        claims[node.name] = {"table": expected.tolist()}
    yield Checked(
        node.name,
        kind,
        f"its values in the kernels, {', '.join(shapes)}",
        256 * channels * len(shapes),
        wrong,
        skipped,
    )


def _every_value(graph: Graph, tap: str, expected: Integers, isa: Isa) -> str:
    """The first place where a graph (256, C), a function of each value, is not `expected` [C, 256]; empty where none.

    Image r has the value of code t + r at token t, so that each value stands in each of the 64 columns of a panel.
    """
    model, channels = Model(graph, "every value"), expected.shape[0]
    together = max(1, _AT_ONCE // (256 * channels))
    for first in range(0, PANEL, together):
        rotations = np.arange(first, min(first + together, PANEL))
        code = (np.arange(256) + rotations[:, None]) % 256
        x = np.broadcast_to(_CODES[code][:, :, None], (len(rotations), 256, channels)).astype(np.int8)
        y = run_compiled(model, np.ascontiguousarray(x), (tap,), isa=isa.name)[tap]
        wanted = expected[np.arange(channels)[None, None, :], code[:, :, None]]
        if (y != wanted).any():
            r, t, c = (int(i) for i in np.argwhere(y != wanted)[0])
            return (
                f"channel {c}, input {int(x[r, t, c])}: the engine gives {int(y[r, t, c])}, "
                f"the contract {int(wanted[r, t, c])}"
            )
    return ""


def _sum(_graph: Graph, node: Node, isa: Isa, _evidence: Evidence | None, _claims: _Claims) -> Iterator[Checked]:
    # Channel c of one operand is c - 128, whatever comes in; the other is the input.
    constants = np.repeat(_CODES[:, None], 256, axis=1).astype(np.int8)
    nodes = [Node("k", Lut(constants, TableRule.FULL), (INPUT,)), Node("sum", Add(), (INPUT, "k"))]
    expected = np.array([[statement.saturated(int(x) + int(c)) for x in _CODES] for c in _CODES])
    graph = Graph((256, 256), nodes)
    wrong = _every_value(graph, "sum", expected, isa)
    # The same with both operands computed before, as where every tap is asked for.
    apart = Graph((256, 256), [*nodes[:1], Node("x", _identity(256), (INPUT,)), Node("sum", Add(), ("x", "k"))])
    model = Model(apart, "sums")
    x = np.broadcast_to(_CODES[None, :, None], (1, 256, 256)).astype(np.int8)
    y = run_compiled(model, np.ascontiguousarray(x), ("k", "x", "sum"), isa=isa.name)["sum"][0].T
    differ = np.argwhere(y != expected)
    if not wrong and len(differ):
        c, t = (int(i) for i in differ[0])
        wrong = f"{t - 128} + {c - 128}: the engine gives {int(y[c, t])}, the contract {int(expected[c, t])}"
    yield Checked(node.name, "add", "every sum of two values, in the kernels", 65_536, wrong)


def _identity(channels: int) -> Affine:
    one, nothing = np.ones(channels, np.int8), np.zeros(channels, np.int8)
    return Affine(one, nothing, nothing.view(np.uint8))


# --- Linears ---------------------------------------------------------------------------------------------------------


def unpacked(node: Node, out: Panels, into: Panels, x: Range, isa: Isa) -> tuple[Integers, Integers]:
    """A linear's packed weights [N, K], and its start values, shifts and biases [3, N], as the kernels read them.

    `x`: the range of its input. Start values are as if sums were of stored bytes, x + 128, and made in 32 bits.
    ModelError where a run could leave 16 bits.
    """
    op: Any = node.op
    data, words = LOWER[Linear].pack(node, out, into, x, isa)
    weight: Any
    scales: Any
    if isa.runs and op.over is Axis.CHANNELS:
        weight, moved = _unpacked_runs(node.name, data, x, isa)
        scales = words.reshape(-1, 3, isa.rows).swapaxes(0, 1).reshape(3, -1).astype(np.int64)
        scales[0] = (scales[0] + moved + (1 << 31)) % (1 << 32) - (1 << 31)
        return _without_padding(node.name, op, weight, scales)
    kind = np.int8 if isa.depth == 4 else np.int16
    flat = np.frombuffer(data.tobytes(), kind)
    if op.over is Axis.CHANNELS:
        rows = words.size // 3
        tiles = flat.reshape(rows // isa.rows, -1, isa.rows, isa.depth)
        weight = tiles.swapaxes(1, 2).reshape(rows, -1)
        scales = words.reshape(-1, 3, isa.rows).swapaxes(0, 1).reshape(3, rows)
    else:
        rows = out.each
        weight = flat.reshape(-1, rows, isa.depth).swapaxes(0, 1).reshape(rows, -1)
        scales = words.reshape(3, rows)
        tile = isa.columns if rows % isa.columns == 0 else TOKENS_STEP
        lanes = np.ravel(lane_order(isa, tile // isa.lanes))  # type: ignore[no-untyped-call]
        place = np.argsort((np.arange(0, rows, tile)[:, None] + lanes).ravel())
        weight, scales = weight[place], scales[:, place]
    return _without_padding(node.name, op, weight, scales)


def _without_padding(name: str, op: Linear, weight: Any, scales: Any) -> tuple[Integers, Integers]:
    outputs, inputs = op.weight.shape
    if weight[:outputs, inputs:].any() or weight[outputs:].any():
        raise ModelError(f"node '{name}': packed weights beyond the model's are not all 0")
    return weight[:outputs, :inputs].astype(np.int64), scales[:, :outputs].astype(np.int64)


def _unpacked_runs(name: str, data: npt.NDArray[np.uint8], x: Range, isa: Isa) -> tuple[Integers, Integers]:
    """The weights of runs, summed by column, and what they add to a sum of stored bytes; `runs` says how they lie.

    Every pair of products and every run is followed at both ends of the inputs: ModelError where 16 bits do not hold
    it.
    """
    padded = -(-len(x.low) // 16) * 16
    lost, numbers = data[:padded].astype(np.int64), np.frombuffer(data[padded:].tobytes(), np.int32)
    groups = -(-len(x.low) // 4)
    ends = np.zeros((2, 4 * groups), np.int64)
    ends[:, : len(x.low)] = np.stack(x) + 128 - lost[: len(x.low)]
    if ends.min() < 0 or ends.max() > 255:
        raise ModelError(f"node '{name}': what is subtracted of an input leaves no unsigned byte")
    # Tiles are as many as make their runs start where the first one's do.
    tiles = numbers[: int(numbers[0])].reshape(-1, 2).tolist()
    weight = np.zeros((len(tiles), isa.rows, groups, 4), np.int64)
    moved = np.zeros((len(tiles), isa.rows), np.int64)
    for t, (at, count) in enumerate(tiles):
        for _ in range(count):
            first, length = numbers[at : at + 2].tolist()
            starts = numbers[at + 2 : at + 2 + isa.rows].copy().view(np.int16).reshape(isa.rows, 2).astype(np.int64)
            at += 2 + isa.rows
            part = numbers[at : at + length * isa.rows].copy().view(np.int8).reshape(length, isa.rows, 4)
            at += length * isa.rows
            here = ends[:, 4 * first : 4 * (first + length)].reshape(2, length, 1, 4)
            product = part.astype(np.int64) * here
            # [length, rows, half of a lane]: the least and greatest of each pair.
            least, greatest = (end.reshape(length, isa.rows, 2, 2).sum(3) for end in (product.min(0), product.max(0)))
            sums = (least, greatest, least.sum(0) + starts, greatest.sum(0) + starts)
            if min(s.min() for s in sums) < -(1 << 15) or max(s.max() for s in sums) >= 1 << 15:
                raise ModelError(f"node '{name}': the run at group {first} of tile {t} could leave 16 bits")
            weight[t, :, first : first + length] += part.swapaxes(0, 1)
            moved[t] += starts.sum(1)
    rows = weight.reshape(-1, 4 * groups)
    taken = np.zeros(4 * groups, np.int64)
    taken[: len(x.low)] = lost[: len(x.low)]
    return rows, moved.ravel() - rows @ taken


def _linear(graph: Graph, node: Node, isa: Isa, evidence: Evidence | None, claims: _Claims) -> Iterator[Checked]:
    op: Any = node.op
    into = graph.tensors[node.inputs[0]].shape
    x = find_ranges(graph)[node.inputs[0]]
    weight, scales = unpacked(node, panels(graph.shapes[node.name]), panels(into), x, isa)
    wrong, rows = "", []
    model_weight = op.weight.astype(np.int64)
    for n in range(len(model_weight)):
        low = sum(min(-128 * w, 127 * w) for w in model_weight[n].tolist())
        high = sum(max(-128 * w, 127 * w) for w in model_weight[n].tolist())
        start, shift, bias = (int(v) for v in scales[:, n])
        moved = int(weight[n].sum()) * 128 + start
        kept = bool((weight[n] == model_weight[n]).all())
        if not kept and weight[n].any():
            wrong = wrong or f"output {n}: its packed weights are neither the model's nor all 0"
        if not 0 <= shift < 32 or max(abs(low), abs(high)) + abs(moved) >= 1 << 31:
            wrong = wrong or f"output {n}: a sum could leave 32 bits, or its shift is {shift}"
        rows.append((low, high, moved, shift, bias, int(op.shift[n]), int(op.bias[n]), kept))
    decided = "every sum of the proven range is requantised as the contract says, by the packed numbers"
    cases = sum(row[1] - row[0] + 1 for row in rows)
    if not wrong:
        text = requantisation_question(rows)
        answer = decide(text)
        if answer.answer is Answer.SAT:
            n, total = answer.values["row"], answer.values["sum"]
            total -= (total >> 39) << 40
            wrong = f"output {n}, sum {total}: the packed numbers do not give what the contract does"
        elif answer.answer is Answer.UNKNOWN:
            wrong = "the solver did not decide it in time"
        elif evidence is not None:
            evidence.ask(f"engine-{node.name}", text, Answer.UNSAT, f"engine, node '{node.name}': {decided}")
            claims[node.name] = {"rows": [list(row) for row in rows]}
    yield Checked(node.name, "linear", decided, cases, wrong)
    yield _thresholds(graph, node, isa)


def requantisation_question(rows: list[tuple[int, int, int, int, int, int, int, bool]]) -> str:
    """SMT-LIB: some sum of some row that the engine's numbers requantise otherwise than the contract.

    A row: least and greatest sum, what the engine adds to it, its shift and bias, the contract's shift and bias, and
    whether the engine has the row's weights (else it has none, and its sum is 0). The engine computes in 32 bits.
    """
    width = 40
    cases = []
    for n, (low, high, moved, shift, bias, true_shift, true_bias, kept) in enumerate(rows):
        total = "((_ extract 31 0) sum)" if kept else number(0, 32)
        engine = f"(bvadd (bvashr (bvadd {total} {number(moved, 32)}) {number(shift, 32)}) {number(bias, 32)})"
        term, wide = solver.requantised("sum", width, true_shift, true_bias)
        cases.append(
            f"(and (= row {number(n, 32)}) (bvsge sum {number(low, width)}) (bvsle sum {number(high, width)})\n"
            f"  (not (= {solver.saturated(engine, 32)} {solver.saturated(term, wide)})))"
        )
    lines = ["(set-logic QF_BV)", "(declare-const row (_ BitVec 32))", f"(declare-const sum (_ BitVec {width}))"]
    return "\n".join([*lines, f"(assert (or false\n{chr(10).join(cases)}))", "(check-sat)", ""])


def inputs_of_sums(weight: Integers, totals: Integers) -> tuple[Integers, npt.NDArray[np.bool_]]:
    """Inputs [M, K] of which weights [K] make the sums `totals` [M], and where they do; greatest weights first."""
    x = np.where(weight > 0, -128, 127) * np.ones((len(totals), 1), np.int64)
    left = totals - x @ weight
    for k in np.argsort(-np.abs(weight), kind="stable"):
        size = abs(int(weight[k]))
        if size:
            steps = np.clip(left // size, 0, 255)
            x[:, k] += steps if weight[k] > 0 else -steps
            left = left - steps * size
    return x, left == 0


def _thresholds(graph: Graph, node: Node, isa: Isa) -> Checked:
    """Run a linear's kernels at each threshold of each output that its weights can reach, and one below."""
    op: Any = node.op
    weight = op.weight.astype(np.int64)
    shape = graph.tensors[node.inputs[0]].shape
    channels = len(shape) == 1 or op.over is Axis.CHANNELS
    wrong, cases, steps = "", 0, 0
    for n in range(len(weight)):
        shift, bias = int(op.shift[n]), int(op.bias[n])
        low = int(np.minimum(-128 * weight[n], 127 * weight[n]).sum())
        high = int(np.maximum(-128 * weight[n], 127 * weight[n]).sum())
        least = [statement.least_sum(v, shift, bias) for v in range(-127, 128)]
        at = sorted({low, high, *(t - d for t in least for d in (0, 1) if low <= t - d <= high)})
        x, made = inputs_of_sums(weight[n], np.array(at))
        totals, x = np.array(at)[made], x[made].astype(np.int8)
        steps += len(at)
        cases += len(totals)
        if not len(totals) or wrong:
            continue
        # Rows of the sum's axis as tokens (over channels), or as channels (over tokens), 64 at a time or more.
        images = x[None] if channels else x.T[None]
        alone = Model(Graph(images.shape[1:], [Node("y", op, (INPUT,))]), "thresholds")
        y = run_compiled(alone, np.ascontiguousarray(images), ("y",), isa=isa.name)["y"][0]
        found = (y[:, n] if channels else y[n]).astype(np.int64)
        wanted = np.array([statement.requantised(int(t), shift, bias) for t in totals])
        if (found != wanted).any():
            m = int(np.argmax(found != wanted))
            wrong = f"output {n}, sum {int(totals[m])}: the engine gives {int(found[m])}, the contract {int(wanted[m])}"
    return Checked(
        node.name,
        "linear",
        "both sides of each threshold, and both ends, in the kernels, at one input each",
        cases,
        wrong,
        f"{steps - cases:,} of {steps:,} sums, for which no input was found" if steps > cases else "",
    )


# --- Pools -----------------------------------------------------------------------------------------------------------


def _pool(graph: Graph, node: Node, isa: Isa, _evidence: Evidence | None, _claims: _Claims) -> Iterator[Checked]:
    op: Any = node.op
    tokens, channels = graph.tensors[node.inputs[0]].shape
    low, high = -128 * tokens, 127 * tokens
    every = (high - low + 1) * tokens <= _SUMS_MAX
    shift = tokens.bit_length() - 1
    if every:
        totals = np.arange(low, high + 1)
    else:
        least = [statement.least_sum(v, shift, 0) for v in range(-128, 129)]
        totals = np.array(sorted({low, high, *(t - d for t in least for d in (0, 1) if low <= t - d <= high)}))
    # A sum from the least: the first tokens take 255 each, the next what is left.
    extra = np.clip((totals - low)[:, None] - 255 * np.arange(tokens), 0, 255)
    values = (extra - 128).astype(np.int8)
    images = -(-len(totals) // channels)
    filled = np.resize(np.arange(len(totals)), images * channels).reshape(images, channels)
    x = np.ascontiguousarray(values[filled].swapaxes(1, 2))
    model = Model(Graph((tokens, channels), [Node("y", op, (INPUT,))]), "sums")
    y = run_compiled(model, x, ("y",), isa=isa.name)["y"].astype(np.int64)
    wanted = np.array([statement.averaged(int(t), tokens) for t in totals])[filled]
    wrong = ""
    if (y != wanted).any():
        i, c = (int(v) for v in np.argwhere(y != wanted)[0])
        total = int(totals[filled[i, c]])
        wrong = f"sum {total}: the engine gives {int(y[i, c])}, the contract {int(wanted[i, c])}"
    what = "every sum" if every else "both sides of each threshold, and both ends,"
    yield Checked(node.name, "pool", f"{what} in the kernels, at one input each", len(totals), wrong)


_Check = Callable[[Graph, Node, Isa, Evidence | None, _Claims], Iterator[Checked]]

_NOT_TAKEN = NotTaken("because the compiled engine does not")

CHECKS: OperatorTable[_Check] = OperatorTable(
    "the proof of the compiled engine",
    {
        Linear: _linear,
        Pool: _pool,
        Affine: _function,
        Lut: _function,
        Relu: _function,
        Add: _sum,
        Conv: _NOT_TAKEN,
        MaxPool: _NOT_TAKEN,
        Threshold: _NOT_TAKEN,
        **dict.fromkeys(FEATURE_MAPS, _NOT_TAKEN),
    },
)
"""The proof of each operator."""
