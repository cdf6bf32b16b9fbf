"""Stream modules under every schedule: what leaves is a function of what entered, whatever stalls, gaps and resets.

A module's copy gets ghost registers and properties (`schedule_modules`); Yosys makes one netlist of both. A property
is proved by induction over one cycle, for all states, inputs and contents of memories: from any state in which all
properties of the module hold, in the next one they do, too. Nothing is assumed of the first state: properties hold from
the first reset on, which is itself one of the steps. A property that is not inductive is looked for in a run from a
first state of any content; a run that shows it broken is replayed on the plain evaluator before it is believed.
"""

import itertools
import random
import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from fxsim.errors import ToolError
from fxsim.prove.btor2 import Netlist
from fxsim.prove.concrete import Evaluator
from fxsim.prove.evidence import Evidence
from fxsim.prove.kept import find_key, keep, take
from fxsim.prove.netlist import make_netlist
from fxsim.prove.network import Standing
from fxsim.prove.solver import Answer, Decided, decide
from fxsim.prove.transition import Place, Unrolled, name
from fxsim.simulate.sources import Sources

REFUTE_CYCLES = 12
"""Cycles of the longest run in which a broken property is looked for."""
_SEED = 12
_ADDRESS_BITS = 16
_CHANCES, _CHANCE_CYCLES = 2, (100, 1000)
"""Runs by chance in which a broken property is looked for, of each kind; first short ones."""
_SECONDS = 60
_KINDS = ((0.5, 0.5, 0.01), (0.9, 0.02, 0.002), (1.0, 0.0003, 0.0), (0.7, 0.003, 0.0))
"""Runs by chance: how often each side is willing, images end, resets come."""
_APART = (((0.1, 1.0), 0.02, 0.005), ((1.0, 0.1), 0.02, 0.005))
"""The same, with one side far slower than the other: that which offers, that which takes."""

_CLOCK = re.compile(rb"input\s+wire\s+clk,")
_ROM = re.compile(rb"initial \$readmemh\((\w+), (\w+)\);")
_FIRST = re.compile(rb"(?<![\w$])(?:initial|\$readmem\w*)(?![\w$])")
"""Words by which something gets its first contents."""
_DIRECTIVE = re.compile(rb"`(?!default_nettype\b)\w*")
_ENDMODULE = re.compile(rb"\bendmodule\b")


@dataclass(frozen=True)
class Progress:
    """A promise: while `willing` holds, `goal` does in one of `cycles` cycles; both expressions of Verilog.

    `by`: the properties that it follows from, by default all.
    """

    willing: str
    goal: str
    cycles: int
    by: tuple[str, ...] = ()


@dataclass(frozen=True)
class Properties:
    """Ghost Verilog for one module with given parameters, and what holds of it.

    `inputs`: ghost inputs, any value in each cycle, by width. `assumed`: of what stands at the inputs: an upstream
    module's own properties. `holds`: expressions that hold in every cycle from the first reset on; `says`: the main
    ones in words. `reached`: expressions that come true in a run, so that nothing holds emptily. `stubs`: Verilog in
    place of other modules; `patches`: texts replaced in the module's copy, each of which must be there once. `needs`:
    other modules that are read; `word`: bits of the widest word of its memories. `splits`: of something that holds,
    expressions by whose values in the cycle before it is proved case by case. `contents`: of ghost memories, words that
    runs by chance begin with. `steady`: of inputs, the ends of one that is drawn once for such a run; `chances`:
    of inputs, how often they are not 0 in it; `withheld`: of assumptions, the input that is 0 in a cycle in which
    chance would break one. `opened`: of modules that are needed, further ports and what drives them, so that the ghost
    sees inside. `set_by_patch`: parameters that a patch sets, and Yosys is not given. `absent`: ROMs
    of the module's text that it has not with these parameters.
    `cycles`: of the longest run in which something must be reached; `slow`: whether it may take so long that runs
    without resets come first.
    """

    module: str
    parameters: dict[str, int]
    ghost: str
    holds: dict[str, str]
    says: dict[str, str]
    inputs: dict[str, int] = field(default_factory=dict)
    assumed: dict[str, str] = field(default_factory=dict)
    reached: dict[str, str] = field(default_factory=dict)
    progress: dict[str, Progress] = field(default_factory=dict)
    stubs: str = ""
    patches: tuple[tuple[str, str], ...] = ()
    needs: tuple[str, ...] = ()
    word: int = 8
    splits: dict[str, tuple[str, ...]] = field(default_factory=dict)
    contents: dict[str, dict[int, int]] = field(default_factory=dict)
    steady: dict[str, tuple[int, int]] = field(default_factory=dict)
    opened: dict[str, tuple[str, str]] = field(default_factory=dict)
    set_by_patch: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    chances: dict[str, float] = field(default_factory=dict)
    withheld: dict[str, str] = field(default_factory=dict)
    cycles: int = 4000
    slow: bool = False


@dataclass(frozen=True)
class Verdict:
    """One property's verdict: `proved`, `refuted` (with the cycle and the run), or `unproved` with the reason."""

    name: str
    says: str
    verdict: str
    seconds: float
    why: str = ""
    trace: tuple[dict[str, int], ...] = ()


@dataclass(frozen=True)
class ModuleProof:
    """The verdicts on one module with given parameters, and the netlist that they are on.

    `progress`: of each promise the cycles and the properties that it follows from; `depth`: cycles of the induction.
    `cached`: it was proved before and kept; times are those of then.
    """

    module: str
    parameters: dict[str, int]
    verdicts: tuple[Verdict, ...]
    assumed: tuple[str, ...]
    btor2: str
    progress: dict[str, tuple[int, tuple[str, ...]]]
    seconds: float
    depth: int = 1
    yosys: str = ""
    netlist_sha256: str = ""
    cached: bool = False

    @property
    def proved(self) -> bool:
        """Whether there are properties, and every one is proved."""
        return bool(self.verdicts) and all(verdict.verdict == "proved" for verdict in self.verdicts)


def instrument(sources: Sources, properties: Properties) -> Sources:
    """The Verilog of a module with its ghost, and of the modules that it needs. ToolError where the text does not fit.

    Contents of memories become unknown, but constant.
    """
    if not properties.says.keys() <= properties.holds.keys():
        raise ToolError(f"'{properties.module}': something is said that nothing holds")
    files = {}
    for module in (properties.module, *properties.needs):
        file = sources.file_of(module)
        files[file] = sources.files[file]
        _refuse_elsewhere(sources, file, roms=module == properties.module)
        if module in properties.opened:
            files[file] = _open(sources, file, files[file], *properties.opened[module])
    file = sources.file_of(properties.module)
    text = files[file]
    for old, new in properties.patches:
        if text.count(old.encode()) != 1:
            raise ToolError(f"{sources.folder / file}: expected '{old}' once, which the proof of schedules replaces")
        text = text.replace(old.encode(), new.encode())
    if len(_CLOCK.findall(text)) != 1 or len(_ENDMODULE.findall(text)) != 1:
        raise ToolError(f"{sources.folder / file}: expected one module with the port clk first")
    inputs = {"gh_constant": 1, "gh_address": 16, "gh_word": properties.word, **properties.inputs}
    outputs = dict(_outputs(properties))
    ports = "".join(f"input wire [{width - 1}:0] {port}, " for port, width in inputs.items())
    ports += "".join(f"output wire {port}, " for port in outputs)
    text = _CLOCK.sub(lambda match: ports.encode() + match[0], text)
    # A write that is assumed never to come keeps Yosys from taking what nothing writes for x.
    text = _ROM.sub(rb"always @(posedge clk) if (!gh_constant) \2[gh_address] <= gh_word;", text)
    body = ["reg gh_started;", "initial gh_started = 1'b0;", "always @(posedge clk) if (rst) gh_started <= 1'b1;"]
    body.append(properties.ghost)
    body += [f"assign {port} = {expression};" for port, expression in outputs.items()]
    text = _ENDMODULE.sub(lambda match: "\n".join(body).encode() + b"\n" + match[0], text)
    files[file] = text
    if properties.stubs:
        files["gh_stubs.v"] = properties.stubs.encode()
    return Sources(sources.folder, dict(sorted(files.items())))


def file_parameters(sources: Sources, module: str) -> set[str]:
    """The parameters of a module by which it names the files that its ROMs read."""
    return {name.decode() for name, _ in _ROM.findall(sources.code(sources.file_of(module)))}


def _refuse_elsewhere(sources: Sources, file: str, *, roms: bool) -> None:
    """ToolError where a module may be another one in the design than by itself, with its numbers and any ROM.

    That is where a macro decides, which another file may define; where the name of a ROM's file is used for more than
    to read it; where anything else has first contents. `roms`: whether it may have ROMs at all.
    """
    code = sources.code(file)
    if (found := _DIRECTIVE.search(code)) is not None:
        raise ToolError(
            f"{sources.folder / file}: '{found[0].decode()}' may give another text in the whole design than here: "
            "expected no directive but `default_nettype"
        )
    if b"\\" in sources.files[file]:
        raise ToolError(f"{sources.folder / file}: expected no escaped name, which hides what it names")
    read = _ROM.findall(code) if roms else []
    if len(_FIRST.findall(code)) != 2 * len(read):
        raise ToolError(
            f"{sources.folder / file}: expected {'ROMs alone' if roms else 'nothing'} to have first contents, each by "
            "'initial $readmemh(FILE, memory);'"
        )
    for given, _ in read:
        used = re.findall(rb"(?<![\w$])" + given + rb"(?![\w$])", code)
        if len(used) != 2 or not re.search(rb"\bparameter\s+" + given + rb"\s*=", code):
            raise ToolError(
                f"{sources.folder / file}: expected {given.decode()} to be a parameter that names the file of a ROM, "
                "and is used for nothing else"
            )


def _open(sources: Sources, file: str, text: bytes, ports: str, body: str) -> bytes:
    """The Verilog of a module that another one needs, with further ports."""
    if len(_CLOCK.findall(text)) != 1 or len(_ENDMODULE.findall(text)) != 1:
        raise ToolError(f"{sources.folder / file}: expected one module with the port clk first")
    text = _CLOCK.sub(lambda match: ports.encode() + b" " + match[0], text)
    return _ENDMODULE.sub(lambda match: body.encode() + b"\n" + match[0], text)


def stated_outputs(properties: Properties) -> set[str]:
    """The outputs that a netlist has for properties, by name."""
    return {port for port, _ in _outputs(properties)}


def promises(properties: Properties) -> dict[str, tuple[int, tuple[str, ...]]]:
    """The cycles within which each promise comes true, and what holds meanwhile."""
    return {key: (p.cycles, p.by or tuple(properties.holds)) for key, p in properties.progress.items()}


def _outputs(properties: Properties) -> Iterator[tuple[str, str]]:
    yield "gh_assumed_constant", "gh_constant"
    for key, expression in properties.assumed.items():
        yield f"gh_assumed_{key}", f"!gh_started || ({expression})"
    for key, expression in properties.holds.items():
        yield f"gh_holds_{key}", f"!gh_started || ({expression})"
        if key in properties.says:
            yield f"gh_main_{key}", f"gh_holds_{key}"
    for key, expressions in properties.splits.items():
        for i, expression in enumerate(expressions):
            yield f"gh_split_{key}_{i}", expression
            yield f"gh_unsplit_{key}_{i}", f"!({expression})"
    for key, expression in properties.reached.items():
        yield f"gh_reached_{key}", f"gh_started && !rst && ({expression})"
    for key, progress in properties.progress.items():
        yield f"gh_willing_{key}", f"gh_started && !rst && ({progress.willing})"
        yield f"gh_waits_{key}", f"!({progress.goal})"


def prove_module(
    sources: Sources,
    properties: Properties,
    evidence: Evidence | None = None,
    seconds: int = _SECONDS,
    kept: bool = False,
) -> ModuleProof:
    """Prove what holds of one module with given parameters, of the Verilog in `sources`.

    `kept`: whether a proof that was kept of the same, down to every version, is taken in place of a new one (not where
    there is `evidence`), and what is proved now is kept.
    """
    begun = time.monotonic()
    ghosted = instrument(sources, properties)
    # Ghosts begin somewhere in runs by chance; induction begins anywhere.
    given = {name: value for name, value in properties.parameters.items() if name not in properties.set_by_patch}
    made = make_netlist(ghosted, properties.module, given, {}, contents=True)
    key = None
    if kept:
        rests_on = {"netlist": made.sha256, "yosys": made.yosys, "properties": properties, "seconds": seconds}
        key = find_key("module under every schedule", rests_on)
        before = take(key, ModuleProof) if evidence is None else None
        if before is not None and before.proved:
            return replace(before, btor2=made.btor2, cached=True)
    constants = {memory.decode() for _, memory in _ROM.findall(sources.files[sources.file_of(properties.module)])}
    # Of one in a block of a loop the name of the block comes first.
    # A memory of one word is a register, which has the word's number in its name.
    memories = {
        state.name.rpartition(".")[2].removesuffix("" if made.netlist.cells[state.cell].sort.address else "[0]")
        for state in made.netlist.states
    }
    expected = constants - {*properties.absent}
    if constants & memories != expected:
        has, asked = (", ".join(sorted(names)) or "none" for names in (constants & memories, expected))
        raise ToolError(f"the netlist of '{properties.module}' has the ROMs {has}, expected {asked}")
    proof = _Proof(made.netlist, properties, evidence, seconds)
    verdicts = proof.holds()
    if all(verdict.verdict == "proved" for verdict in verdicts):
        verdicts += [proof.live(key) for key in properties.progress]
        verdicts += proof.covered()
    assumed = tuple(f"{key}: {text}" for key, text in properties.assumed.items())
    result = ModuleProof(
        properties.module,
        properties.parameters,
        tuple(verdicts),
        assumed,
        made.btor2,
        promises(properties),
        time.monotonic() - begun,
        yosys=made.yosys,
        netlist_sha256=made.sha256,
    )
    if key is not None and result.proved:
        # Of the netlist the hash is in the key.
        keep(key, replace(result, btor2=""))
    return result


@dataclass(frozen=True)
class ScheduleProof:
    """The proof for all schedules of a design. `unstated`: modules of which nothing is proved, with the reason.

    `counts`: how often each module with its parameters is there. `standing`: of a whole design, all modules of which
    are proved, whether it can stand still. `composed`: whether the design was made of the graph, and was held to it.
    """

    modules: tuple[ModuleProof, ...]
    counts: tuple[int, ...]
    wired: tuple[str, ...]
    unstated: dict[str, str]
    standing: Standing | None = None
    composed: bool = False

    @property
    def proved(self) -> bool:
        """Whether every module is proved, the others are wires alone, and the whole does not stand still."""
        stands = self.standing is None or self.standing.proved
        return stands and not self.unstated and all(module.proved for module in self.modules)


def _random(seed: int) -> random.Random:
    return random.Random(seed)  # noqa: S311  # stimulus, no secret


def induction_questions(netlist: Netlist) -> Iterator[tuple[str, str]]:
    """The questions of a netlist with ghosts, by property: whether it can break in the cycle after all of them hold.

    Of the main properties: while in that cycle, too, the others hold, which are proved without it.
    """
    unrolled = Unrolled(netlist, initial=False)
    assumed = [(cell, t) for t in (0, 1) for cell in _of(netlist, "gh_assumed_").values()]
    holds, main = _of(netlist, "gh_holds_"), _of(netlist, "gh_main_")
    before = [(cell, 0) for cell in holds.values()]
    after = [(cell, 1) for key, cell in holds.items() if key not in main]
    for key, cell in holds.items():
        cases = itertools.count()
        pairs = []
        for i in cases:
            if f"gh_split_{key}_{i}" not in netlist.outputs:
                break
            pairs.append([(netlist.output(f"gh_{word}_{key}_{i}"), 0) for word in ("split", "unsplit")])
        for case in itertools.product(*pairs):
            true = [*assumed, *before, *(after if key in main else ()), *case]
            yield key, unrolled.question(true, [(cell, 1)])


def progress_question(netlist: Netlist, key: str, cycles: int, by: Iterable[str]) -> str:
    """The question whether a promise can be broken: from any state in which properties hold, for so many cycles."""
    holds = _of(netlist, "gh_holds_")
    cells = [*_of(netlist, "gh_assumed_").values(), *(holds[other] for other in by)]
    cells += [netlist.output(f"gh_willing_{key}"), netlist.output(f"gh_waits_{key}")]
    return Unrolled(netlist, initial=False).question((cell, t) for t in range(cycles) for cell in cells)


def _of(netlist: Netlist, prefix: str) -> dict[str, int]:
    """The outputs of a netlist whose names begin so, by the rest of their names."""
    return {port.removeprefix(prefix): cell for port, cell in netlist.outputs.items() if port.startswith(prefix)}


class _Proof:
    def __init__(self, netlist: Netlist, properties: Properties, evidence: Evidence | None, seconds: int) -> None:
        self._netlist = netlist
        self._properties = properties
        self._evidence = evidence
        self._seconds = seconds
        self._assumed = [netlist.output(f"gh_assumed_{key}") for key in ("constant", *properties.assumed)]
        self._holds = {key: netlist.output(f"gh_holds_{key}") for key in properties.holds}
        self._label = f"{properties.module}({', '.join(f'{k}={v}' for k, v in properties.parameters.items())})"

    def _ask(self, text: str, claim: str) -> Decided:
        decided = decide(text, self._seconds)
        if decided.answer is Answer.UNSAT and self._evidence is not None:
            label = f"schedule-{self._properties.module}-{claim.split(':')[0]}"
            self._evidence.ask(label, text, Answer.UNSAT, f"{self._label}, {claim}")
        return decided

    def _true(self, cycles: int) -> list[Place]:
        return [(cell, t) for t in range(cycles) for cell in self._assumed]

    def holds(self) -> list[Verdict]:
        """The verdicts on all that holds: together, or, where one is not inductive, none of them is proved."""
        asked = dict.fromkeys(self._holds, (Answer.UNSAT, 0.0))
        for key, text in induction_questions(self._netlist):
            if asked[key][0] is Answer.UNSAT:
                begun = time.monotonic()
                answer = self._ask(text, f"{key}: {self._says(key)}").answer
                asked[key] = answer, asked[key][1] + time.monotonic() - begun
        rests = [key for key, (answer, _) in asked.items() if answer is not Answer.UNSAT]
        found = self._refute() if rests else None
        verdicts = []
        for key, (answer, seconds) in asked.items():
            verdict, why = "proved", ""
            trace: tuple[dict[str, int], ...] = ()
            if found is not None and not found[-1][f"gh_holds_{key}"] and key in self._properties.says:
                verdict, why, trace = "refuted", f"broken in cycle {len(found) - 1} of a run", tuple(found)
            elif answer is Answer.UNKNOWN:
                verdict, why = "unproved", f"not decided in {self._seconds} s"
            elif answer is Answer.SAT:
                verdict, why = "unproved", "not inductive"
            elif rests:
                verdict, why = "unproved", f"rests on {', '.join(rests)}"
            verdicts.append(Verdict(key, self._says(key), verdict, seconds, why, trace))
        return verdicts

    def _says(self, key: str) -> str:
        return self._properties.says.get(key, "invariant, which the others rest on")

    def _refute(self) -> list[dict[str, int]] | None:
        """A run from a first state of any content that breaks what is said: by chance, or one that the solver finds.

        What the solver finds is replayed on the plain evaluator before it is believed.
        """
        said = self._properties.says
        for cycles, seed in itertools.product(_CHANCE_CYCLES, range(_CHANCES)):
            for stimulus in stimuli(self._netlist, self._properties, _random(seed), cycles):
                trace = []
                for row in stimulus:
                    trace.append(row)
                    if not all(row[f"gh_holds_{key}"] for key in said):
                        return trace
        run = Unrolled(self._netlist, initial=True)
        for cycles in range(2, REFUTE_CYCLES + 1):
            places = [(self._holds[key], cycles - 1) for key in said]
            decided = decide(run.question(self._true(cycles), places), self._seconds)
            if decided.answer is Answer.UNKNOWN:
                return None
            if decided.answer is Answer.SAT:
                trace = replay(self._netlist, decided, cycles)
                names = ("constant", *self._properties.assumed)
                assumed = all(row[f"gh_assumed_{key}"] for row in trace for key in names)
                if not assumed or all(trace[-1][f"gh_holds_{key}"] for key in said):
                    raise ToolError(f"{self._label}: the evaluator does not confirm a run of the solver")
                return trace
        return None

    def live(self, key: str) -> Verdict:
        """Whether a goal comes within so many cycles, from any state in which all properties hold."""
        begun = time.monotonic()
        progress = self._properties.progress[key]
        cycles = progress.cycles
        says = f"within {cycles} cycles of ({progress.willing}): {progress.goal}"
        text = progress_question(self._netlist, key, cycles, progress.by or tuple(self._holds))
        decided = self._ask(text, f"{key}: {says}")
        verdict = {Answer.UNSAT: "proved", Answer.SAT: "unproved", Answer.UNKNOWN: "unproved"}[decided.answer]
        why = "" if verdict == "proved" else "a state in which all properties hold waits longer"
        return Verdict(key, says, verdict, time.monotonic() - begun, why)

    def covered(self) -> list[Verdict]:
        """Runs on the plain evaluator, in which every property holds, and what matters is reached."""
        begun = time.monotonic()
        missing = set(self._properties.reached)
        rng = _random(_SEED)
        for stimulus in stimuli(self._netlist, self._properties, rng, self._properties.cycles):
            for outputs in stimulus:
                broken = [key for key in self._holds if not outputs[f"gh_holds_{key}"]]
                if broken:
                    raise ToolError(f"{self._label}: '{broken[0]}' was proved, but the evaluator breaks it")
                missing -= {key for key in missing if outputs[f"gh_reached_{key}"]}
                if not missing:
                    break
            if not missing:
                break
        seconds = time.monotonic() - begun
        return [
            Verdict(
                f"reached_{key}",
                f"a run reaches {text}",
                "unproved" if key in missing else "proved",
                seconds / len(self._properties.reached),
                f"no run of {self._properties.cycles} cycles reached it" if key in missing else "",
            )
            for key, text in self._properties.reached.items()
        ]


def stimuli(
    netlist: Netlist, properties: Properties, rng: random.Random, cycles: int
) -> Iterator[Iterator[dict[str, int]]]:
    """Some runs of the plain evaluator, each the inputs and outputs of every cycle.

    Streams keep to the protocol: what is valid stays, with its data, until it is taken.
    """
    kinds = [((share, share), *rest) for share, *rest in _KINDS]
    for willing, ends, resets in [*(reversed(kinds) if properties.slow else kinds), *_APART]:
        yield _run(netlist, properties, rng, willing, ends, resets, cycles)


def _run(
    netlist: Netlist,
    properties: Properties,
    rng: random.Random,
    willing: tuple[float, float],
    ends: float,
    resets: float,
    cycles: int,
) -> Iterator[dict[str, int]]:
    evaluator = Evaluator(netlist, rng.getrandbits)
    for state in netlist.states:
        if state.name in properties.contents and netlist.cells[state.cell].sort.address:
            evaluator.words(state.cell).written.update(properties.contents[state.name])
    widths = {port: netlist.cells[cell].sort.width for port, cell in netlist.inputs.items()}
    held: dict[str, int] = {}
    steady = {port: rng.randint(*bounds) for port, bounds in properties.steady.items()}
    for cycle in range(cycles):
        inputs = {port: rng.getrandbits(width) for port, width in widths.items()}
        inputs |= {"clk": 0, "rst": int(cycle == 0 or rng.random() < resets), "gh_constant": 1}
        for port in widths:
            if port.endswith(("ready", "valid", "enable")):
                inputs[port] = int(rng.random() < willing[port.endswith("ready")])
            elif port.startswith("gh_mark"):
                inputs[port] = int(rng.random() < 0.3)
            elif port.endswith("tlast"):
                inputs[port] = int(rng.random() < ends)
        for port, chance in properties.chances.items():
            inputs[port] = rng.randint(1, (1 << widths[port]) - 1) if rng.random() < chance else 0
        inputs |= steady
        inputs |= {port: value for port, value in held.items() if port in widths}
        evaluator.evaluate(inputs)
        for key, port in properties.withheld.items():
            if not evaluator.value(netlist.outputs[f"gh_assumed_{key}"]):
                inputs[port] = 0
                evaluator.evaluate(inputs)
        outputs = inputs | {port: evaluator.value(cell) for port, cell in netlist.outputs.items()}
        for key in properties.assumed:
            if not outputs[f"gh_assumed_{key}"]:
                raise ToolError(f"{properties.module}: stimulus breaks the assumption '{key}'")
        yield outputs
        held = {}
        for port in widths:
            if port.endswith("valid") and inputs[port] and not inputs["rst"]:
                stream = port.removesuffix("valid")
                if not outputs.get(f"{stream}ready", 1):
                    held |= {other: inputs[other] for other in widths if other.startswith(stream)}
        evaluator.tick()


def replay(netlist: Netlist, decided: Decided, cycles: int) -> list[dict[str, int]]:
    """A solver's run on the plain evaluator: every port of every cycle. What the solver left open is 0."""
    values = decided.values
    # What the evaluator asks for, in its order: registers first, then in each cycle what is x.
    asked = [state.cell for state in sorted(netlist.states) if not netlist.cells[state.cell].sort.address]
    answers = [values.get(name((cell, 0)), 0) for cell in asked]
    answers += [values.get(name((cell, cycle)), 0) for cycle in range(cycles) for cell in netlist.unknowns]
    drawn = iter(answers)
    evaluator = Evaluator(netlist, lambda _: next(drawn, 0))
    for state in netlist.states:
        address = netlist.cells[state.cell].sort.address
        if address:
            word, others = decided.arrays.get(name((state.cell, 0)), (0, {}))
            written = evaluator.words(state.cell).written
            if address <= _ADDRESS_BITS:
                written.update(dict.fromkeys(range(1 << address), word))
            written.update(others)
    trace = []
    for cycle in range(cycles):
        inputs = {port: values.get(name((cell, cycle)), 0) for port, cell in netlist.inputs.items()}
        evaluator.evaluate(inputs)
        trace.append(inputs | {port: evaluator.value(cell) for port, cell in netlist.outputs.items()})
        evaluator.tick()
    return trace
