"""Random networks: what is drawn, who computes it, what is never made, and failures made small, kept and run again."""

import dataclasses
import json
import re
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner

from fxsim.cli.program import cli
from fxsim.compare import Difference
from fxsim.contract import INT8, Number, Sign, TableRule
from fxsim.cosim import CosimRequest
from fxsim.devices import DEVICES, make_settings
from fxsim.errors import FileError, ModelError, StimulusError, ToolError
from fxsim.fuzz import (
    FEATURE_GROUPS,
    GENERATOR,
    DeviceRequest,
    FuzzRequest,
    FuzzResult,
    Generator,
    Subject,
    Taker,
    devices,
    examine,
    features_of,
    find_takers,
    merge,
    read_case,
    replay,
    run_devices,
    run_fuzz,
    universe,
)
from fxsim.fuzz.axes import classes, cut, size_of
from fxsim.fuzz.features import NOT_MADE
from fxsim.fuzz.kept import DeviceRun, keep
from fxsim.fuzz.shrink import Small
from fxsim.graph import INPUT, Graph, Node
from fxsim.operators import OPERATORS, Add, Affine, Axis, Linear, Pool
from fxsim.signoff import Status, load_plan, run_plan
from fxsim.signoff.checks import random_networks
from fxsim.simulate import parse_stall
from tests.fuzz_faults import CHANGES, FAULTS, faulty_taker
from tests.oracle import compute

CASES = Path(__file__).parent / "cases"
(REFERENCE,) = (taker for taker in find_takers(("reference", "files"))[0] if taker.name == "reference")
PLAIN = ("reference", "files")
TWICE = (REFERENCE, Taker("twin", "twin", REFERENCE.compute))
"""Two takers that cost little, where what is drawn is what matters."""


# --- what is drawn ---


def test_a_network_is_drawn_from_its_seed_and_number_alone() -> None:
    """The same seed and number give the same network and images, other ones others."""
    one, again, other = (GENERATOR.draw(7, number) for number in (12, 12, 17))
    assert one.model.graph == again.model.graph
    assert np.array_equal(one.x, again.x)
    assert one.model.graph != other.model.graph


def test_drawn_networks_compute_what_fractions_do() -> None:
    """Networks of every sort but those of few bits, computed by exact fractions, have the values that engines compare.

    Networks of few bits are held to plain loops, C and ONNX Runtime: the fractions know no rows and columns.
    """
    small = dataclasses.replace(
        GENERATOR,
        sorts=tuple(sort for sort in GENERATOR.sorts if sort != "pictures"),
        sizes=(1, 2, 3),
        long_sizes=(4,),
        nodes_max=4,
        images_max=1,
        axes=GENERATOR.axes[:3],
    )
    for number in range(10):
        case = small.draw(3, number)
        found = examine(Subject(case.model, case.x), [REFERENCE])
        exact = compute(case.model.graph, case.x[0])
        for tap in case.model.graph.taps:
            assert np.array_equal(found.taps[tap][0], exact[tap])


def test_every_feature_of_a_network_is_in_the_universe() -> None:
    """No network has a feature that the audit does not know of."""
    known = {feature for rows in universe(()).values() for feature in rows}
    for number in range(30):
        case = GENERATOR.draw(1, number)
        taps = examine(Subject(case.model, case.x), [REFERENCE]).taps
        assert set(features_of(case.model.graph, case.x, taps)) <= known


# --- the audit ---

HOLES: dict[str, tuple[Generator, str]] = {
    "no unsigned numbers": (
        dataclasses.replace(GENERATOR, numbers=tuple(n for n in GENERATOR.numbers if n.sign is Sign.SIGNED)),
        "affine of unsigned 8 bits",
    ),
    "no weights of 3 bits": (
        dataclasses.replace(GENERATOR, weights=tuple(n for n in GENERATOR.weights if n.bits != 3)),
        "affine with weights of 3 bits",
    ),
    "no rule endpoint": (
        dataclasses.replace(GENERATOR, rules=tuple(r for r in GENERATOR.rules if r is not TableRule.ENDPOINT)),
        "lut endpoint: 4 points",
    ),
    "no pool": (
        dataclasses.replace(GENERATOR, kinds=tuple(k for k in GENERATOR.kinds if k != "pool"), sorts=("formats",)),
        "pool: 1 token(s)",
    ),
    "no long shifts": (
        dataclasses.replace(GENERATOR, shifts=("usual", "none", "one")),
        "linear over channels: shift 62 or more",
    ),
    "greatest weights alone": (
        dataclasses.replace(GENERATOR, fills=("greatest",)),
        "affine: weights all zero",
    ),
    "no pads": (
        dataclasses.replace(GENERATOR, picture_kinds=tuple(k for k in GENERATOR.picture_kinds if k != "pad")),
        "pad: rows above",
    ),
    "no three axes": (dataclasses.replace(GENERATOR, axes=GENERATOR.axes[:3]), "input of three axes"),
    "no single sizes": (
        dataclasses.replace(GENERATOR, sizes=(2, 3, 4), long_sizes=(5,), sorts=("formats",)),
        "linear over tokens with one output",
    ),
    "no wide accumulators": (
        dataclasses.replace(GENERATOR, widths=("needed",)),
        "affine: accumulator of 62 bits",
    ),
}


@pytest.mark.parametrize("hole", HOLES)
def test_what_a_generator_never_makes_is_named(hole: str) -> None:
    """A generator with a hole names it after fifty networks, as a whole one does not lack it."""
    generator, feature = HOLES[hole]
    result = run_fuzz(FuzzRequest(count=50, seed=2, generator=generator), TWICE)
    assert result.passed
    assert any(feature in missing for missing in result.missing.values())


def test_a_whole_generator_has_no_such_hole() -> None:
    """The project's generator makes what the holes above lack."""
    result = run_fuzz(FuzzRequest(count=120, seed=2), TWICE)
    never = {feature for missing in result.missing.values() for feature in missing}
    assert not never & {feature for _, feature in HOLES.values()}
    assert result.features.keys() == FEATURE_GROUPS.keys()


def test_parts_of_a_run_are_the_run() -> None:
    """Two halves, each of every second network, add up to what one run counts."""
    takers = TWICE
    whole = run_fuzz(FuzzRequest(count=20, seed=4), takers)
    halves = merge(run_fuzz(FuzzRequest(count=20, seed=4, part=(part, 2)), takers) for part in (0, 1))
    still = {"cpu_seconds": 0.0}
    assert dataclasses_of(whole) | still == dataclasses_of(halves) | still


def dataclasses_of(result: FuzzResult) -> dict[str, Any]:
    """The fields of a result."""
    return {name: getattr(result, name) for name in result.__struct_fields__}


# --- failures ---


@pytest.mark.parametrize("fault", [*FAULTS, *CHANGES])
def test_a_planted_fault_is_found_and_made_small(fault: str, tmp_path: Path) -> None:
    """A copy of an engine with a fault is found out; what is left is a node or two with a handful of parameters."""
    takers = (REFERENCE, faulty_taker(fault))
    sorts = GENERATOR.sorts if fault in FAULTS else ("pictures",)
    generator = dataclasses.replace(GENERATOR, sorts=sorts)
    request = FuzzRequest(seed=5, keep=tmp_path, groups=(), shrink_seconds=20, generator=generator)
    runs = (run_fuzz(dataclasses.replace(request, first=number, count=1), takers) for number in range(200))
    result = next(run for run in runs if run.failures)
    (found,) = result.failures
    assert found.folder is not None
    case, model, x = read_case(Path(found.folder))
    assert case.failure.operator in (FAULTS[fault][0] if fault in FAULTS else CHANGES[fault][:1])
    assert len(model.graph.nodes) <= 2
    assert len(x) == 1
    assert sum(np.count_nonzero(array) for node in model.graph.nodes for _, array in node.op.arrays()) <= 6
    again, failed = replay(Path(found.folder), takers)
    assert failed.failures[0].kind == again.failure.kind
    assert not replay(Path(found.folder), TWICE)[1].failures


def kept_cases() -> list[Path]:
    """Folders of all cases that are kept."""
    return sorted(path.parent for path in CASES.glob("*/case.json"))


def test_there_are_kept_cases() -> None:
    """The folder of kept cases has one at least for each fault that was planted."""
    assert {path.name for path in kept_cases()} >= FAULTS.keys() | CHANGES.keys()


@pytest.mark.slow
def test_kept_cases_hold_in_everything_that_computes_them() -> None:
    """Every case that was kept once has no failure in any engine, ONNX Runtime or file of today."""
    takers, _ = find_takers(("reference", "loops", "compiled", "onnx", "files"))
    for folder in kept_cases():
        case, found = replay(folder, takers)
        assert found.failures == (), folder.name
        assert len(found.took) >= 2
        assert case.smallest


@pytest.mark.slow
@pytest.mark.parametrize("flags", [("-O2",), ("-O3",), ("-O3", "-march=native")], ids=" ".join)
def test_cases_of_the_compiler_hold_in_c(flags: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """GCC 12.2 with vectors made other values of C without a fault: that C is written in another way."""
    monkeypatch.setattr("fxsim.engines.c._FLAGS", ("-std=c99", *flags))
    takers, reasons = find_takers(("reference", "c"))
    if "c" in reasons:
        pytest.skip(reasons["c"])
    folders = [folder for folder in kept_cases() if folder.name.startswith("c-")]
    assert len(folders) == 3
    for folder in folders:
        _, found = replay(folder, takers)
        assert found.failures == (), folder.name
        assert "c" in found.took


def test_a_kept_case_that_was_altered_is_refused(tmp_path: Path) -> None:
    """A case whose model is not the one that it states is no case."""
    for file in (CASES / "add-wraps").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    other = CASES / "relu-is-missing" / "model.safetensors"
    (tmp_path / "model.safetensors").write_bytes(other.read_bytes())
    with pytest.raises(FileError, match=r"is another model than case\.json states"):
        read_case(tmp_path)


@pytest.mark.parametrize("edited", ["images", "zeroes", "stall", "message", "no hash", "cut"])
def test_a_kept_case_that_was_edited_is_refused(edited: str, tmp_path: Path) -> None:
    """Other images, another stall pattern or failure, a hash taken out, half a file: none of it is a case."""
    case, model, x = read_case(CASES / "add-wraps")
    run = DeviceRun(device="simd", stall="random:1")
    folder = keep(tmp_path, Small(model, x, case.failure, 1, gave_up=False), 1, 2, run)
    assert read_case(folder)[0].device == run
    text = (folder / "case.json").read_text()
    assert '"version": 2' in text
    match edited:
        case "images" | "zeroes":
            np.save(folder / "x.npy", np.concatenate([x, x]) if edited == "images" else np.zeros_like(x))
        case "cut":
            (folder / "x.npy").write_bytes((folder / "x.npy").read_bytes()[:-1])
        case "stall":
            (folder / "case.json").write_text(text.replace("random:1", "none"))
        case "message":
            (folder / "case.json").write_text(text.replace("expected 15", "expected 16"))
        case "no hash":
            (folder / "case.json").write_text(re.sub('"sha256": "[0-9a-f]*"', '"sha256": null', text))
    with pytest.raises(FileError):
        read_case(folder)
    done = command("--replay", folder, "--engines", "reference,files")
    assert done.exit_code == 1


def test_a_replay_that_compares_nothing_is_no_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where one engine took the case, none agrees; an engine that failed and is not asked now proves nothing."""
    case, model, x = read_case(CASES / "add-wraps")
    examined = examine(Subject(model, x), TWICE)
    one = dataclasses.replace(examined, took=examined.took[:1])
    with monkeypatch.context() as patch:
        patch.setattr("fxsim.fuzz.replay", lambda *_: (case, one))
        done = command("--replay", CASES / "add-wraps", "--engines", "reference,files")
    assert "1 took it, expected two at least" in str(done.exception)
    failure = msgspec.structs.replace(case.failure, taker="loops")
    folder = keep(tmp_path, Small(model, x, failure, 1, gave_up=False), 1, 2)
    done = command("--replay", folder, "--engines", "reference,files")
    assert isinstance(done.exception, ToolError)
    assert "'loops', which failed, is not among --engines" in str(done.exception)


def test_what_takes_no_network_fails() -> None:
    """A refusal or an exception that nobody stated is a failure, and so is taking what is stated not to be taken."""

    def refuse(_subject: Subject) -> Any:
        raise ModelError("not today")

    def crash(_subject: Subject) -> Any:
        raise ZeroDivisionError("oh")

    case = GENERATOR.draw(1, 0)
    takers = [
        REFERENCE,
        Taker("refuses", "x", refuse),
        Taker("crashes", "x", crash),
        Taker("states", "x", refuse, lambda _graph: "it is too odd"),
        Taker("takes", "x", REFERENCE.compute, lambda _graph: "it is too odd"),
    ]
    found = examine(Subject(case.model, case.x), takers)
    assert [(f.taker, f.way, f.operator) for f in found.failures] == [
        ("refuses", "refused", ""),
        ("crashes", "raised", "ZeroDivisionError"),
        ("takes", "took", ""),
    ]
    assert found.refused == {"states": "it is too odd"}


def test_values_of_another_form_are_a_failure() -> None:
    """A taker that gives another type, or leaves a tap out, differs."""
    case = GENERATOR.draw(1, 5)
    wide = Taker("wide", "x", lambda s: {tap: v.astype(np.int64) for tap, v in REFERENCE.compute(s).items()})
    few = Taker("few", "x", lambda s: dict(list(REFERENCE.compute(s).items())[1:]))
    found = examine(Subject(case.model, case.x), [REFERENCE, wide, few])
    assert {f.taker for f in found.failures if f.against == "reference"} == {"wide", "few"}


def test_axes_that_belong_together_are_cut_together() -> None:
    """A residual path's channels are one class with those of the sum; a linear's inputs and outputs are two."""
    weight = np.arange(12, dtype=np.int8).reshape(3, 4)
    zero, shift = np.zeros(3, np.int8), np.zeros(3, np.uint8)
    ones = Affine(np.ones(3, np.int8), zero, shift)
    graph = Graph(
        (4, 4),
        [
            Node("a", Linear(weight, zero, shift), (INPUT,)),
            Node("b", ones, ("a",)),
            Node("c", Add(), ("a", "b")),
            Node("d", Pool(4), ("c",)),
        ],
    )
    found = classes(graph)
    outputs = next(places for places in found if ("a", -1) in places)
    assert outputs == {("a", -1), ("b", -1), ("c", -1), ("d", -1)}
    tokens = next(places for places in found if (INPUT, -2) in places)
    assert tokens == {(INPUT, -2), ("a", -2), ("b", -2), ("c", -2)}
    assert size_of(graph, tokens) == 4
    x = np.arange(16, dtype=np.int8).reshape(1, 4, 4)
    fewer, images = cut(graph, x, outputs, np.array([2]))
    assert isinstance(first := fewer.nodes[0].op, Linear)
    assert first.weight.tolist() == [[8, 9, 10, 11]]
    assert images.shape == (1, 4, 4)
    fewer, images = cut(fewer, images, tokens, np.array([1, 3]))
    assert images.tolist() == [[[4, 5, 6, 7], [12, 13, 14, 15]]]
    assert isinstance(last := fewer.nodes[-1].op, Pool)
    assert last.tokens == 2
    with pytest.raises(ModelError):
        cut(graph, x, tokens, np.array([0, 1, 2]))


def test_a_tokens_linear_is_cut_by_its_own_axes() -> None:
    """A linear over tokens has rows by tokens of its result, and columns by tokens of its input."""
    op = Linear(np.arange(6, dtype=np.int8).reshape(3, 2), np.zeros(3, np.int8), np.zeros(3, np.uint8), Axis.TOKENS)
    graph = Graph((2, 5), [Node("a", op, (INPUT,))])
    x = np.arange(10, dtype=np.int8).reshape(1, 2, 5)
    places = next(p for p in classes(graph) if ("a", -2) in p)
    fewer, _ = cut(graph, x, places, np.array([1]))
    assert isinstance(first := fewer.nodes[0].op, Linear)
    assert first.weight.tolist() == [[2, 3]]
    assert fewer.tensors["a"].number == INT8 == Number(8)


# --- devices ---


@pytest.mark.parametrize("device", ["stream", "simd"])
def test_devices_take_what_is_drawn_for_them(device: str) -> None:
    """Every network that is drawn for an accelerator fits it, and every stall pattern is one that it takes."""
    request = DeviceRequest((device,), seed=6)
    for number in range(6):
        for case in devices.draw_cases(request, DEVICES[device], number):
            fitted = DEVICES[device].fit(case.model, make_settings(device, DEVICES[device].settings, {}))
            fitted.refuse_stall(parse_stall(case.stall))


def simulated(fails: bool) -> Any:
    """A simulation in place of one: of RTL whose affine of a negative weight is off by one, where it `fails`."""

    def run_cosim(request: CosimRequest) -> Any:
        graph = request.model.graph
        wrong = [n.name for n in graph.nodes if isinstance(n.op, Affine) and (n.op.weight < 0).any()]
        first = None
        if wrong and fails:
            first = Difference(image=0, tap=wrong[0], expected=1, got=2, index={"channel": 0})
        verdict = SimpleNamespace(first_mismatch=first, stopped=None, faults=())
        return SimpleNamespace(passed=first is None, verdict=verdict, streams=SimpleNamespace(compared=len(request.x)))

    return run_cosim


@pytest.mark.parametrize("device", ["stream", "simd"])
def test_a_device_that_differs_is_kept_small(device: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A difference of an accelerator is kept with few parameters, its stalls, and is run again on it."""
    monkeypatch.setattr(devices, "run_cosim", simulated(fails=True))
    result = run_devices(DeviceRequest((device,), seed=1, keep=tmp_path, shrink_seconds=5))
    assert result.failures
    folder = Path(str(result.failures[0].folder))
    case, model, x = read_case(folder)
    assert case.device is not None
    assert case.device.device == device
    assert (case.failure.taker, case.failure.against, case.failure.operator) == (device, "model", "affine")
    assert len(x) == 1
    weights = [array for node in model.graph.nodes for name, array in node.op.arrays() if name in ("weight", "table")]
    assert sum(np.count_nonzero(array) for array in weights) == 1
    assert replay(folder, TWICE)[1].failures == (case.failure,)
    monkeypatch.setattr(devices, "run_cosim", simulated(fails=False))
    assert replay(folder, TWICE)[1].failures == ()


@pytest.mark.slow
def test_devices_are_audited(monkeypatch: pytest.MonkeyPatch) -> None:
    """A generator for devices with a hole names it, and counts what it made."""
    monkeypatch.setattr(devices, "run_cosim", simulated(fails=False))
    holed = dataclasses.replace(devices.SMALL, rules=(TableRule.CLAMP,))
    missing = run_devices(DeviceRequest(("stream", "simd"), 4, generator=holed)).missing["devices"]
    assert {"stream: tables, full", "simd: tables, hold"} <= set(missing)
    whole = run_devices(DeviceRequest(("stream", "simd"), 24))
    assert whole.missing["devices"] == ()
    assert whole.passed


# --- commands and the sign-off check ---


def command(*arguments: object) -> Any:
    """What `fxsim fuzz` ends with."""
    return CliRunner().invoke(cli, ["fuzz", *map(str, arguments)])


def test_command_says_what_it_did_and_keeps_it(tmp_path: Path) -> None:
    """The command's result stands in its folder; it names what was never made, and --audit fails for it."""
    done = command("--count", 5, "--engines", "reference,files", "-o", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert "never made: operators: " in done.output
    kept = json.loads((tmp_path / "out" / "fuzz.json").read_text())
    assert (kept["models"], kept["failures"], kept["seed"]) == (5, [], 0)
    assert command("--count", 5, "--engines", "reference,files", "--audit").exit_code == 1


def test_command_replays_a_kept_case() -> None:
    """A kept case is run again by one command, and those that took it are named."""
    done = command("--replay", CASES / "add-wraps", "--engines", "reference,files")
    assert done.exit_code == 0, done.output
    assert "agree: reference, model file" in done.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--engines", "reference"), "expected two to compare"),
        (("--engines", "reference,magic"), "there is no engine 'magic'"),
        (("--count", 3, "--hours", 1), "give one"),
        (("--part", "3/3"), "no part"),
        (("--part", "x"), "no part"),
        (("--only-devices",), "needs --accel"),
        (("--accel", "fpga", "--only-devices"), "there is no accelerator 'fpga'"),
        (("--accel", "simd", "--jobs", 2, "--hours", 1), "no --jobs"),
        (("--accel", "simd", "--part", "0/2"), "the same designs"),
    ],
)
def test_command_refuses_what_makes_no_sense(arguments: tuple[object, ...], words: str) -> None:
    """Arguments that leave nothing to compare, or contradict each other, are refused with a reason."""
    done = command(*arguments)
    assert done.exit_code != 0
    assert words in (done.output + str(done.exception))


@pytest.mark.slow
def test_processes_share_a_run() -> None:
    """With several jobs each process has its part, and the sum is the run's."""
    done = command("--count", 6, "--jobs", 2, "--engines", "reference,files", "--json")
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    assert result["models"] == 6
    assert result["took"] == {"reference": 6, "model file": 6}


def test_processes_share_what_engines_compute_beside_accelerators(monkeypatch: pytest.MonkeyPatch) -> None:
    """With an accelerator and several jobs, engines' networks are shared out, and designs are simulated once."""
    asked: list[tuple[list[str], int]] = []

    def run_parts(arguments: list[str], parts: int) -> FuzzResult:
        asked.append((arguments, parts))
        return run_fuzz(FuzzRequest(count=4, seed=3), find_takers(("reference", "files"))[0])

    monkeypatch.setattr("fxsim.fuzz.parts.run_parts", run_parts)
    monkeypatch.setattr(devices, "run_cosim", simulated(fails=False))
    options = ("--count", 4, "--seed", 3, "--jobs", 2, "--accel", "stream", "--engines", "reference,files", "--json")
    done = command(*options)
    assert done.exit_code == 0, done.output
    ((arguments, parts),) = asked
    assert parts == 2
    assert arguments[arguments.index("--count") + 1] == "4"
    assert json.loads(done.stdout)["took"] == {"reference": 4, "model file": 4, "stream": 3}


PLAN = """title = "networks"
seed = 1
[[check]]
kind = "random-networks"
name = "networks"
count = 30
most = 40
engines = ["reference", "files"]
features = ["values"]
"""


def signed_off(folder: Path, text: str = PLAN) -> Any:
    """The only check of a plan, carried out; what fails is kept in `folder`."""
    path = folder / "plan.toml"
    path.write_text(text)
    return run_plan(load_plan(path), output=folder).checks[0]


def test_check_passes_and_fails_for_a_hole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sign-off check passes; with a generator that makes no images at the ends it fails, and names them."""
    monkeypatch.setattr(random_networks, "find_takers", lambda _groups: (TWICE, {}))
    check = signed_off(tmp_path)
    assert check.status is Status.PASSED, check.reason
    holed = dataclasses.replace(GENERATOR, images=("uniform",))
    monkeypatch.setattr(random_networks, "FuzzRequest", partial(FuzzRequest, generator=holed))
    check = signed_off(tmp_path)
    assert check.status is Status.FAILED
    assert "never made: an image of " in check.reason
    (row,) = check.details.of(random_networks.FeatureCount)
    assert "an image of least values" in row.missing
    assert row.made == row.features - len(row.missing)


def test_check_fails_for_a_fault_and_keeps_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sign-off check finds a faulty engine, and keeps the least case with the command that runs it again."""
    takers = (REFERENCE, faulty_taker("relu-is-missing"))
    monkeypatch.setattr(random_networks, "find_takers", lambda _groups: (takers, {}))
    check = signed_off(tmp_path)
    assert check.status is Status.FAILED
    assert "copy: image " in check.reason
    assert "again: fxsim fuzz --replay " in check.reason
    assert check.kept == "failures/networks"
    assert (tmp_path / "failures" / "networks" / "replay.sh").is_file()
    assert list((tmp_path / "failures" / "networks").glob("*/case.json"))


@pytest.mark.parametrize("wrong", ['features = ["all"]', "most = 3"])
def test_settings_that_make_no_sense_are_refused(wrong: str, tmp_path: Path) -> None:
    """Unknown groups of features, and fewer networks at most than at least, are refused by name."""
    text = PLAN.replace("most = 40\n", "").replace('features = ["values"]', wrong)
    with pytest.raises(FileError, match="check 'networks'"):
        signed_off(tmp_path, text)


def test_unknown_engines_are_refused() -> None:
    """An engine that there is not is refused with the names of those that there are."""
    with pytest.raises(StimulusError, match="there are: reference, loops, compiled"):
        find_takers(("reference", "vhdl"))


def test_audit_names_every_operator_it_does_not_count() -> None:
    """Each kind of operator is in the audit, or is named as one that no network has, and none of them is both."""
    shapes, pictures = (universe((), (group,))[group] for group in ("shapes", "pictures"))
    counted = {kind for kind in OPERATORS if f"begins with {kind}" in (*shapes, *pictures)}
    assert counted | set(NOT_MADE) == set(OPERATORS)
    assert not counted & set(NOT_MADE)
    made = {"channels": "linear", "tokens": "linear"}
    assert counted == {made.get(kind, kind) for kind in (*Generator.kinds, *Generator.picture_kinds)}
