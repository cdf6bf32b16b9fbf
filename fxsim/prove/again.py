"""Parts of evidence computed again another way than they were made: what `--recheck` does beside asking z3."""

import hashlib
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from fxsim.contract import affine, expand_table, relu, requantise
from fxsim.devices import DEVICES, make_settings
from fxsim.errors import FileError, FxsimError
from fxsim.graph import INPUT, Graph, Model
from fxsim.operators import Add, Affine, Axis, Linear, Lut, Pool, Relu
from fxsim.prove.blocks import PROVED, block_questions, join
from fxsim.prove.btor2 import parse
from fxsim.prove.evidence import Again, kept_model, read_refuted
from fxsim.prove.forms_again import Claim, forms_again
from fxsim.prove.network import Network, Runner, Standing
from fxsim.prove.reach import SUMS_MAX
from fxsim.prove.schedule import Properties, induction_questions, progress_question, promises, stated_outputs
from fxsim.prove.schedules import STATED
from fxsim.prove.widths import Widths

Parameters = tuple[tuple[str, int], ...]
_EVERY = np.arange(-128, 128, dtype=np.int8)


def _claims(content: bytes, kind: Any, what: str) -> Any:
    try:
        return msgspec.json.decode(content, type=kind)
    except (msgspec.MsgspecError, ValueError) as error:
        raise FileError(f"{what}.json: {error}") from None


class _Node(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    table: list[list[int]] | None = None
    rows: list[tuple[int, int, int, int, int, int, int, bool]] | None = None


class _Engine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    isa: str
    nodes: dict[str, _Node]


def _function(op: Any, channels: int) -> Any:
    """A function of one value by `fxsim.contract`, int64 [channels, 256]."""
    if isinstance(op, Lut):
        return expand_table(op.table, op.rule).astype(np.int64)
    if isinstance(op, Relu):
        return np.broadcast_to(relu(_EVERY), (channels, 256)).astype(np.int64)
    every = np.broadcast_to(_EVERY[:, None], (256, channels))
    return affine(every, op.weight, op.bias, op.shift).T.astype(np.int64)


def engine_again(folder: Path, content: bytes) -> list[str]:
    """Tables and thresholds of the engine's proof by `fxsim.contract`, in numpy, from the model in the evidence."""
    model, claims = kept_model(folder), _claims(content, _Engine, "engine")
    wrong = []
    for node in model.graph.nodes:
        op: Any = node.op
        claim = claims.nodes.get(node.name)
        if isinstance(op, Add | Pool):
            continue
        if claim is None:
            wrong.append(f"nothing is claimed of node '{node.name}'")
        elif isinstance(op, Linear):
            wrong += _linear_again(node.name, op, claim.rows or [])
        else:
            channels = model.graph.shapes[node.name][-1]
            if not np.array_equal(_function(op, channels), np.array(claim.table, np.int64)):
                wrong.append(f"the table of node '{node.name}' is not the contract's")
    return wrong


def _linear_again(name: str, op: Linear, rows: list[Any]) -> list[str]:
    if len(rows) != len(op.shift):
        return [f"node '{name}' has {len(op.shift)} outputs, of {len(rows)} something is claimed"]
    for n, (low, high, moved, shift, bias, true_shift, true_bias, kept) in enumerate(rows):
        weight = op.weight[n].astype(np.int64)
        ends = int(np.maximum(-128 * weight, 127 * weight).sum()), int(np.minimum(-128 * weight, 127 * weight).sum())
        if (high, low) != ends or (true_shift, true_bias) != (int(op.shift[n]), int(op.bias[n])):
            return [f"node '{name}', output {n}: its range, shift or bias are not the model's"]
        if not 0 <= shift < 32:
            return [f"node '{name}', output {n}: the engine's shift is {shift}, expected below 32"]
        # Where the engine's result changes, both sides; between two changes either rule is constant or wrong here.
        steps = [((v - bias) << shift) - moved for v in range(-128, 129)]
        sums = np.unique(np.clip([low, high, *steps, *(s - 1 for s in steps)], low, high))
        total = sums if kept else np.zeros_like(sums)
        engine = np.clip(((total + moved) >> shift) + bias, -128, 127)
        if not np.array_equal(engine, requantise(sums, op.shift[n], op.bias[n]).astype(np.int64)):
            return [f"node '{name}', output {n}: the engine's numbers are not the contract's"]
    return []


# --- Widths ----------------------------------------------------------------------------------------------------------


Place = tuple[int, int]
Sets = dict[Place, frozenset[int]]


def sets_again(graph: Graph) -> tuple[dict[str, Sets], dict[str, dict[int, tuple[int, int]]]]:
    """Every tap's sets of values by (token, channel), and every sum's range by row, in sets of Python integers."""
    tokens, values = graph.input_shape if len(graph.input_shape) == 2 else (1, graph.input_shape[0])
    whole = frozenset(range(-128, 128))
    sets: dict[str, Sets] = {INPUT: {(t, v): whole for t in range(tokens) for v in range(values)}}
    ranges: dict[str, dict[int, tuple[int, int]]] = {}
    for node in graph.nodes:
        op: Any = node.op
        x = sets[node.inputs[0]]
        made: Sets = {}
        rows: dict[int, tuple[int, int]] = {}

        def widen(row: int, low: int, high: int, rows: dict[int, tuple[int, int]] = rows) -> None:
            old = rows.get(row, (low, high))
            rows[row] = min(old[0], low), max(old[1], high)

        if isinstance(op, Lut | Affine | Relu):
            function = _function(op, 1 + max(c for _, c in x)).tolist()
            memo: dict[tuple[int, frozenset[int]], frozenset[int]] = {}
            for place, old in x.items():
                key = place[1], old
                if key not in memo:
                    memo[key] = frozenset(function[place[1]][v + 128] for v in old)
                made[place] = memo[key]
                if isinstance(op, Affine):
                    products = [int(op.weight[place[1]]) * v for v in old]
                    widen(place[1], min(products), max(products))
        elif isinstance(op, Linear):
            ends = {place: (min(old), max(old)) for place, old in x.items()}
            over_tokens = op.over is Axis.TOKENS
            others = sorted({place[1 if over_tokens else 0] for place in x})
            found: dict[tuple[int, tuple[int, ...]], frozenset[int]] = {}
            for n, weights in enumerate(op.weight.tolist()):
                shift, bias = op.shift[n], op.bias[n]
                for other in others:
                    low = high = 0
                    for k, w in enumerate(weights):
                        a, b = ends[(k, other) if over_tokens else (other, k)]
                        low, high = low + min(w * a, w * b), high + max(w * a, w * b)
                    widen(n, low, high)
                    column = [x[(k, other) if over_tokens else (other, k)] for k in range(len(weights))]
                    operands = n, tuple(map(id, column))
                    if operands not in found:
                        found[operands] = _results(column, weights, low, high, shift, bias)
                    made[(n, other) if over_tokens else (other, n)] = found[operands]
        elif isinstance(op, Add):
            r = sets[node.inputs[1]]
            for place, old in x.items():
                sums = {a + b for a in old for b in r[place]}
                widen(0, min(sums), max(sums))
                made[place] = frozenset(min(max(v, -128), 127) for v in sums)
        else:
            for c in sorted({c for _, c in x}):
                column = [old for (_, channel), old in x.items() if channel == c]
                low, high = sum(map(min, column)), sum(map(max, column))
                widen(0, low, high)
                first, last = (int(v) for v in requantise(np.array([low, high]), op.tokens.bit_length() - 1, 0))
                made[0, c] = frozenset(range(first, last + 1))
        sets[node.name], ranges[node.name] = made, rows
    return sets, ranges


def _results(
    column: list[frozenset[int]], weights: list[int], low: int, high: int, shift: int, bias: int
) -> frozenset[int]:
    """Every value of a linear's row: of each sum, where they have gaps and are few, else of all between the ends."""
    steps = sorted((abs(w), max(old) - min(old), len(old)) for w, old in zip(weights, column, strict=True))
    width = 1
    for size, reach, count in steps:
        if reach >= count or (reach and size > width):
            break
        width += size * reach
    else:
        width = -1
    if width < 0 or high - low > SUMS_MAX:
        first, last = (int(v) for v in requantise(np.array([low, high]), shift, bias))
        return frozenset(range(first, last + 1))
    reached = np.zeros(high - low + 1, np.bool_)
    # Partial sums are counted from `low` on, and around: 0 may lie outside of what the whole sum reaches.
    reached[-low % len(reached)] = True
    for w, old in zip(weights, column, strict=True):
        # Partial sums may leave the range, but in the end do not: indices run around.
        reached = np.any([np.roll(reached, w * v) for v in old], axis=0)
    return frozenset(requantise(np.flatnonzero(reached) + low, shift, bias).tolist())


def widths_again(folder: Path, content: bytes) -> list[str]:
    """Ranges of taps and sums by sets of Python integers; each accumulator's width at the ends where it is cut."""
    model: Model = kept_model(folder)
    claims: Widths = _claims(content, Widths, "widths")
    sets, ranges = sets_again(model.graph)
    wrong = []
    if tuple(tap.tap for tap in claims.taps) != (INPUT, *model.graph.taps):
        wrong.append("the taps are not the model's")
    for tap in claims.taps:
        last = max(c for _, c in sets.get(tap.tap, {(0, 0): frozenset()}))
        channels: list[set[int]] = [set() for _ in range(last + 1)]
        for (_, c), values in sets.get(tap.tap, {}).items():
            channels[c] |= values
        # Where all channels have the same set, one stands for all of them.
        if len(tap.low) == 1 and all(channel == channels[0] for channel in channels):
            channels = channels[:1]
        found = tuple(min(v, default=0) for v in channels), tuple(max(v, default=0) for v in channels)
        if found != (tap.low, tap.high) or sum(map(len, channels)) != tap.values:
            wrong.append(f"the range of tap '{tap.tap}' is another one")
    for row in claims.accumulators:
        node = model.graph.by_name.get(row.node)
        if node is None:
            wrong.append(f"there is no node '{row.node}'")
            continue
        op: Any = node.op
        reached = ranges[row.node]
        if (min(r[0] for r in reached.values()), max(r[1] for r in reached.values())) != (row.low, row.high):
            wrong.append(f"the range of the sum of node '{row.node}' is another one")
        shifts, biases = getattr(op, "shift", np.zeros(1, int)), getattr(op, "bias", np.zeros(1, int))
        if isinstance(op, Pool):
            shifts = np.array([op.tokens.bit_length() - 1])
        half = 1 << (row.needed - 1)
        for n, (low, high) in reached.items():
            # All sums would be too many: the ends, and both sides of each place where the cut wraps, and of 0.
            edges = (low, high, 0, *(side + d for side in (-half, half) for d in (-1, 0)))
            sums = np.unique([v for v in edges if low <= v <= high])
            cut = ((sums + half) & (2 * half - 1)) - half
            if not np.array_equal(requantise(sums, shifts[n], biases[n]), requantise(cut, shifts[n], biases[n])):
                wrong.append(f"node '{row.node}', row {n}: {row.needed} bits change a value")
                break
    return wrong


class _Scheduled(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    module: str
    parameters: dict[str, int]
    netlist: str
    proved: bool
    progress: dict[str, tuple[int, tuple[str, ...]]]


def schedules_again(folder: Path, content: bytes) -> list[str]:
    """The questions of every module, made anew of its netlist: each must be among those that z3 was asked."""
    asked = {*read_refuted(folder).values()}
    wrong = []
    for claim in _claims(content, list[_Scheduled], "schedules"):
        label = f"module '{claim.module}' {claim.parameters}"
        if not claim.proved:
            wrong.append(f"{label} was not proved")
            continue
        if not re.fullmatch(r"netlists/[a-z0-9_-]+\.btor", claim.netlist) or not (folder / claim.netlist).is_file():
            raise FileError(f"{folder / 'schedules.json'}: names '{claim.netlist}', expected a netlist of the evidence")
        netlist = parse((folder / claim.netlist).read_text(encoding="utf-8"), str(folder / claim.netlist))
        stated = _stated_of(claim)
        if stated is None or stated_outputs(stated) != {port for port in netlist.outputs if port.startswith("gh_")}:
            wrong.append(f"{label}: its netlist has other properties than are stated of it")
            continue
        if claim.progress != promises(stated):
            wrong.append(f"{label}: it promises something else than is stated of it")
            continue
        questions = list(induction_questions(netlist))
        questions += [(key, progress_question(netlist, key, *how)) for key, how in claim.progress.items()]
        wrong += [f"{label}: nothing was asked about '{key}'" for key, text in questions if text not in asked]
    return wrong


def _stated_of(claim: _Scheduled) -> Properties | None:
    """The properties that are stated of a module; None where there are none, of such parameters."""
    for modules in STATED.values():
        if claim.module in modules:
            try:
                return modules[claim.module](claim.parameters)
            except (KeyError, ValueError, ArithmeticError, FxsimError):
                return None
    return None


class _Network(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    network: Network
    beats: int
    standing: Standing


def network_again(folder: Path, content: bytes) -> list[str]:
    """The network run again in another order; its modules must be among those that were proved."""
    claim: _Network = _claims(content, _Network, "network")
    if not (folder / "schedules.json").is_file():
        raise FileError(f"{folder / 'schedules.json'}: is missing: a network is of modules that are proved there")
    modules = _claims((folder / "schedules.json").read_bytes(), list[_Scheduled], "schedules")
    proved = {(one.module, tuple(sorted(one.parameters.items()))) for one in modules if one.proved}
    used = {(part.module, tuple(sorted(part.parameters.items()))) for part in claim.network.parts}
    wrong = [
        f"'{module}' {dict(of)} was not proved" for module, of in sorted(used) if not _is_proved(module, of, proved)
    ]
    shapes = kept_model(folder).graph.input_shape
    if claim.beats != int(np.prod(shapes)):
        wrong.append(f"an image has {claim.beats} values there, of the model {int(np.prod(shapes))}")
    streams = len(claim.network.streams)
    ends = [claim.network.source, claim.network.sink]
    for given in (False, True):
        found = [at for part in claim.network.parts for at in (part.outputs if given else part.inputs).values()]
        if sorted([*found, ends[0] if given else ends[1]]) != list(range(streams)):
            return [*wrong, "its streams do not lead from one module to one other each"]
    runner = Runner(claim.network, claim.beats)
    passed = runner.run(backwards=True)
    if why := runner.stuck():
        wrong.append(f"it stands still: {why}")
    if passed != claim.standing.transfers or not claim.standing.proved:
        wrong.append(f"{passed:,} values pass, {claim.standing.transfers:,} are claimed")
    return wrong


class _Run(msgspec.Struct, frozen=True):
    name: str
    status: str
    images: int
    values: int
    proved: int
    stopped: str
    findings: list[Any]
    btor2_sha256: str


class _Block(msgspec.Struct, frozen=True):
    name: str
    status: str
    btor2_sha256: str


class _Result(msgspec.Struct, frozen=True):
    status: str
    model: str
    device: str
    module: str | None
    proofs: list[_Run]
    blocks: list[_Block]


def result_again(folder: Path, content: bytes) -> list[str]:
    """All that the result names was proved, of the netlists that are there, and its forms are there.

    The questions about blocks are made anew of their netlists, by the rules that the device has for the model.
    """
    result: _Result = _claims(content, _Result, "result")
    wrong = [] if result.status == PROVED else [f"the whole was {result.status}"]
    if not result.proofs and not result.blocks:
        wrong.append("nothing was proved")
    if result.model != kept_model(folder).name:
        wrong.append(f"it is of the model '{result.model}', the evidence has '{kept_model(folder).name}'")
    claimed: list[Claim] = []
    if (folder / "forms.json").is_file():
        claimed = _claims((folder / "forms.json").read_bytes(), list[Claim], "forms")
    runs = Counter((one.name, one.images) for one in result.proofs)
    if runs != Counter((claim.design, claim.images) for claim in claimed):
        wrong.append("it is of other runs than the forms are")
    every: list[_Run | _Block] = [*result.proofs, *result.blocks]
    for one in every:
        if one.status != PROVED:
            wrong.append(f"'{one.name}' was {one.status}")
        netlist = folder / "netlists" / f"{one.btor2_sha256}.btor"
        there = re.fullmatch(r"[0-9a-f]{64}", one.btor2_sha256) and netlist.is_file()
        if not there or hashlib.sha256(netlist.read_bytes()).hexdigest() != one.btor2_sha256:
            wrong.append(f"the netlist of '{one.name}' is another one, or is not there")
        if isinstance(one, _Run) and (not 0 < one.proved == one.values or one.findings or one.stopped):
            stopped = f", {one.stopped}" if one.stopped else ""
            wrong.append(f"'{one.name}': {one.proved:,} of {one.values:,} values are proved{stopped}")
    # What is not there, or not a proof, is named above.
    return wrong or _blocks_again(folder, result)


def _blocks_again(folder: Path, result: _Result) -> list[str]:
    """Every question about a block, made anew of its netlist: each must be among those that z3 was asked."""
    if not result.blocks:
        return []
    device, found = DEVICES[result.device], None
    if device.blocks is not None:
        settings = make_settings(device.name, device.settings, {})
        found = device.blocks(kept_model(folder), settings).get(result.module or "")
    blocks = {} if found is None else {block.name: block for block in found}
    if Counter(one.name for one in result.blocks) != Counter(blocks.keys()):
        return [f"it is of other blocks than '{result.module}' of '{result.device}' has: {', '.join(blocks) or 'none'}"]
    wrong = []
    asked = {*read_refuted(folder).values()}
    for one in result.blocks:
        path, block = folder / "netlists" / f"{one.btor2_sha256}.btor", blocks[one.name]
        try:
            netlist = join(parse(path.read_text(encoding="utf-8"), str(path)), block)
            questions = block_questions(block, netlist)
        except FxsimError as error:
            wrong.append(f"the netlist of '{one.name}' is not that of it and its rule: {error}")
            continue
        wrong += [
            f"nothing was asked of '{one.name}' about '{output}'" for output, _, text in questions if text not in asked
        ]
    return wrong


def _is_proved(module: str, of: Parameters, proved: set[tuple[str, Parameters]]) -> bool:
    """Whether a module is among those proved, which state no parameters that change nothing of their properties."""
    return any(module == name and set(some) <= set(of) for name, some in proved)


AGAIN: Mapping[str, Again] = {
    "result": result_again,
    "engine": engine_again,
    "widths": widths_again,
    "schedules": schedules_again,
    "network": network_again,
    "forms": forms_again,
}
"""The check of each kind of part."""
