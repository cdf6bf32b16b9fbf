"""Kind `speed`'s ratios: who is named, what each ratio is, and when one holds, fails, is not known or is skipped."""

import re
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

import fxsim
from fxsim.benchmark import contestants, record
from fxsim.benchmark import measure as measuring
from fxsim.benchmark.contestants import lacking, list_contestants
from fxsim.benchmark.hosts import LESSER
from fxsim.benchmark.measure import default_images, measure, select
from fxsim.benchmark.peak import clock_of
from fxsim.benchmark.record import (
    HOST_ISAS,
    ISA_NAMES,
    BenchRecord,
    Contestant,
    Measured,
    parse_contestant,
    write_record,
)
from fxsim.engines.compiled import instruction_sets
from fxsim.engines.compiled.isa import ISAS
from fxsim.errors import FileError, FxsimError
from fxsim.formats import model_sha256
from fxsim.machine import count_cores
from fxsim.paths import golden_dir
from fxsim.signoff import Status, load_plan, read_record, run_plan, write_both
from fxsim.signoff.checks.speed import Speed, SpeedCheck
from fxsim.signoff.record import CheckRecord

SETS = tuple(kind.name for kind in instruction_sets())
MODEL = golden_dir() / "digits_small.safetensors"
FAST, LOOPS = f"compiled-{SETS[0]}/b512/t1", "loops/b512/t1"
PLAN = f"""
title = "speed"
seed = 1
[models]
small = {{ file = "{MODEL}" }}
[stimuli]
digits = {{ file = "{golden_dir() / "digits_16x4.npy"}" }}
[[check]]
kind = "speed"
name = "speed"
model = "small"
stimulus = "digits"
images = 7
threads = 1
"""


class Scripted(contestants.Track):
    """Computes as ever, but each contestant's times are those of a script, by its path, and so is every roof."""

    times: dict[str, tuple[float, ...]] = {}  # noqa: RUF012  # set by tests
    roof: tuple[float, ...] = (1e15,)

    def measure(self, who: Contestant) -> float:
        """The next time of the script, over and over in the same order."""
        return self._next(who.name, self.times.get(who.name, (1e-5,)))

    def measure_roof(self, kind: str, isa: str | None, threads: int) -> float:
        """The next roof of the script, the same for all."""
        return self._next(f"{kind} {isa} {threads}", self.roof)

    def _next(self, what: str, script: tuple[float, ...]) -> float:
        seen: dict[str, int] = self.__dict__.setdefault("_seen", {})
        seen[what] = seen.get(what, -1) + 1
        return script[seen[what] % len(script)]


Run = Callable[..., tuple[CheckRecord, Speed]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A function that runs a check of these ratios on these times and roofs: its record and its data."""
    monkeypatch.setattr(measuring, "Track", Scripted)
    monkeypatch.setattr("fxsim.signoff.checks.speed._SECONDS", 0.0001)

    def run_check(
        ratios: str, times: dict[str, tuple[float, ...]], roof: tuple[float, ...] = (1e15,), more: str = ""
    ) -> tuple[CheckRecord, Speed]:
        monkeypatch.setattr(Scripted, "times", times)
        monkeypatch.setattr(Scripted, "roof", roof)
        path = tmp_path / "plan.toml"
        path.write_text(f"{PLAN}ratios = [{ratios}]\n{more}")
        found = run_plan(load_plan(path))
        folder = tmp_path / "reports"
        folder.mkdir(exist_ok=True)
        write_both(found, folder)
        assert read_record(folder / "signoff.json") == found
        (check,) = found.checks
        (speed,) = check.details.of(Speed)
        page = (folder / "signoff.html").read_text()
        assert all(ratio.verdict in page for ratio in speed.ratios)
        return check, speed

    return run_check


def ratio(contestant: str, to: str, at_least: float, **more: float) -> str:
    """A ratio as a plan has it."""
    rest = "".join(f", {name} = {value}" for name, value in more.items())
    return f'{{ contestant = "{contestant}", to = "{to}", at_least = {at_least}{rest} }}'


# --- Names -----------------------------------------------------------------------------------------------------------


def test_names_are_read_as_they_are_given() -> None:
    """Every contestant that there is anywhere is the one of its name; sets are the engine's, hosts the processes'."""
    assert tuple(ISAS) == ISA_NAMES
    assert {name: host.isa for name, host in LESSER.items()} == HOST_ISAS
    everyone = list_contestants(tuple(ISAS), HOST_ISAS, 3, (1, 64, 2048))
    assert len(everyone) > 30
    assert [parse_contestant(who.name) for who in everyone] == everyone


@pytest.mark.parametrize(
    "name",
    [
        "", "compiled", "compiled-avx512", "compiled-avx512/b512", "compiled/b512/t1", "compiled-avx9/b512/t1",
        "compiled-avx512@avx2/b512/t1", "compiled-avx2@avx9/b512/t1", "loops+taps/b1/t1", "loops-avx2/b1/t1",
        "compiled-avx512/b0/t1", "compiled-avx512/b512/t0", "compiled-avx512/b99999/t1", "compiled-avx512/b1/t99999",
        "compiled-avx512/b512/t1/", "compiled-avx512/b512/t1\n", "Compiled-avx512/b512/t1", "reference+taps/b32/t1",
        "compiled-avx512/b5\u0661/t1", "tvm/b1/t1", "roof",
    ],
)  # fmt: skip
def test_other_names_are_refused(name: str) -> None:
    """Whatever is not a contestant's name is refused with it."""
    with pytest.raises(FxsimError, match=rf"^there is no contestant '{re.escape(name)}', expected PATH/bBATCH"):
        parse_contestant(name)


@pytest.mark.parametrize(
    ("ratios", "message"),
    [
        (ratio("compiled-avx9/b1/t1", "roof", 0.5), "there is no contestant 'compiled-avx9/b1/t1'"),
        (ratio(FAST, "lops/b512/t1", 0.5), "there is no contestant 'lops/b512/t1'"),
        (ratio("roof", FAST, 0.5), "there is no contestant 'roof'"),
        (ratio(FAST, FAST, 0.5), f"compares contestant '{FAST}' with itself"),
        (ratio(FAST, "roof", 1.01), f"demands 1.01 of what '{FAST}' can do at most, expected up to 1"),
        (f"{ratio(FAST, LOOPS, 2)}, {ratio(FAST, LOOPS, 3)}", "more than once"),
        (ratio(FAST, LOOPS, 0), "expected `float` > 0|Expected `float` > 0"),
        (ratio(FAST, LOOPS, 1, spread_percent=0), "Expected `float` > 0"),
        (ratio(FAST, LOOPS, 1, spread_percent=101), "Expected `float` <= 100"),
        (ratio(FAST, LOOPS, 1, factor=2), "unknown field `factor`"),
        (f'{{ contestant = "{FAST}", to = "roof" }}', "missing required field `at_least`"),
    ],
)
def test_ratios_that_make_no_sense_are_refused(tmp_path: Path, ratios: str, message: str) -> None:
    """Before anything is measured, by name."""
    path = tmp_path / "plan.toml"
    path.write_text(f"{PLAN}ratios = [{ratios}]\n")
    with pytest.raises(FileError, match=message):
        load_plan(path)


def test_what_a_machine_lacks_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Instruction sets, lesser hosts, cores and extras, each by its name; what it has lacks nothing."""
    sets, hosts = ("avx2", "plain"), {"sse2": "plain"}

    def lacks(name: str) -> str:
        return str(lacking(parse_contestant(name), sets, hosts, 2))

    assert lacks("compiled-avx512/b1/t1") == "instruction set 'avx512' cannot run here, only: avx2, plain"
    assert lacks("compiled-avx2@avx2/b1/t1") == "this machine is no more than host 'avx2'"
    assert lacks("loops/b1/t3") == "3 threads on 2 cores"
    assert lacks("compiled-avx2/b1/t2") == lacks("compiled-plain@sse2/b1/t1") == lacks("reference/b1/t1") == "None"
    monkeypatch.setattr(contestants, "find_spec", lambda _: None)
    monkeypatch.setattr(contestants, "missing", lambda *_: "the extra 'onnx' is not installed")
    assert lacks("onnx/b1/t1") == "the extra 'onnx' is not installed"
    assert lacks("torch-float32/b1/t1") == lacks("torch-fake-quant/b1/t1") == "the extra 'torch' is not installed"
    assert "the extra 'bench' is not installed" in lacks("numpy-float32/b1/t1")


# --- Ratios ----------------------------------------------------------------------------------------------------------


def test_ratios_are_of_single_rounds() -> None:
    """By hand: 1,000 products an image at 4e6 and 8e6 a second are 250 and 125 us, of which it took 500 each time."""
    who = Contestant("compiled", SETS[0], "native", 512, 1), Contestant("loops", None, "native", 512, 1)
    took = (500e-6, 500e-6), (1e-3, 4e-3)
    results = tuple(record.Result(one, seconds, 1, True) for one, seconds in zip(who, took, strict=True))
    roofs = (record.Roof("macs", SETS[0], "native", 1, (4e6, 8e6)),)
    machine = record.Machine("a processor", 1, None, "a system", {}, SETS)
    found = Measured("m", "0" * 64, 1, 2, 1, 1000, 1000, machine, results, roofs, None, None)
    assert found.paired(results[0]) == pytest.approx((0.5, 0.25))
    assert found.paired(results[0], results[1]) == pytest.approx((2.0, 8.0))
    assert found.paired(results[1], results[0]) == pytest.approx((0.5, 0.125))
    # Of three quarters looked up: 250 products at the roof's rate, 10 lookups at theirs, 62.5 + 10 and 31.25 + 5 us.
    more = (*roofs, record.Roof("lookups", SETS[0], "native", 1, (1e6, 2e6)))
    looked_up = msgspec.structs.replace(found, roofs=more, looked_up=750, lookups=10)
    expected = (72.5 / 500, 36.25 / 500) if SETS[0] != "plain" else (0.5, 0.25)
    assert looked_up.paired(results[0]) == pytest.approx(expected)
    # Without a roof, or times, there is no ratio.
    assert msgspec.structs.replace(found, roofs=()).paired(results[0]) == ()
    assert found.paired(results[0], msgspec.structs.replace(results[1], seconds=())) == ()


def test_ratios_that_hold_pass(run: Run) -> None:
    """Ten times as fast as the loops is at least 9.9, and a batch of one at least half as fast: figures say both."""
    single = f"compiled-{SETS[0]}/b1/t1"
    asked = f"{ratio(FAST, LOOPS, 9.9)}, {ratio(single, FAST, 0.5)}"
    check, speed = run(asked, {FAST: (1e-6,), LOOPS: (1e-5,), single: (1.9e-6,)})
    assert check.status is Status.PASSED, check.reason
    assert "2 of 2 ratios held" in check.summary
    assert [found.verdict for found in speed.ratios] == ["passed", "passed"]
    assert [found.rounds for found in speed.ratios] == [pytest.approx((10.0,) * 7), pytest.approx((1 / 1.9,) * 7)]
    figures = {figure.label: figure.value for figure in check.details.figures}
    assert figures[f"ratio of {FAST} to {LOOPS}"] == 10.0


def test_a_slow_contestant_fails(run: Run) -> None:
    """A planted slow one: five times as fast as the loops where six is demanded, and three quarters of its roof."""
    check, speed = run(ratio(FAST, LOOPS, 6), {FAST: (2e-6,), LOOPS: (1e-5,)})
    assert check.status is Status.FAILED
    assert check.reason == f"{FAST} to {LOOPS}: 5, expected at least 6"
    assert speed.ratios[0].verdict == "failed"
    macs = speed.measured.macs
    # The same times under a roof that they reach three quarters of.
    check, speed = run(ratio(FAST, "roof", 0.8), {FAST: (4e-9,)}, roof=(macs / 3e-9,))
    assert (check.status, speed.ratios[0].verdict) == (Status.FAILED, "failed")
    assert "to its roof: 0.75, expected at least 0.8" in str(check.reason)


def test_a_noisy_ratio_is_not_known(run: Run) -> None:
    """Rounds that differ beyond what is allowed fail it as noisy, after all further rounds, however good the median."""
    times = {FAST: (1e-6,), LOOPS: (1e-5, 2e-5, 5e-5)}
    check, speed = run(ratio(FAST, LOOPS, 2, spread_percent=30), times)
    assert check.status is Status.FAILED
    assert (speed.ratios[0].verdict, speed.measured.rounds) == ("noisy", 21)
    assert "noisy: 10 to 50 between quartiles of 21 rounds, ± 100 %, expected at most 30 %" in str(check.reason)
    # Nothing is ever known of a ratio to a roof that was beaten.
    check, speed = run(ratio(FAST, "roof", 0.8), {FAST: (4e-9,)}, roof=(speed.measured.macs / 5e-9,))
    assert (check.status, speed.ratios[0].verdict) == (Status.FAILED, "noisy")
    assert "noisy: the roof was beaten" in str(check.reason)


def test_what_the_machine_lacks_is_skipped_by_name(run: Run) -> None:
    """It never passes: the check is reported, and names it. What fails beside it still fails."""
    many = count_cores() + 1
    asked = ratio(f"loops/b512/t{many}", LOOPS, 1)
    check, speed = run(asked, {})
    assert check.status is Status.REPORTED
    assert speed.ratios[0].verdict == "skipped"
    asked_of = f"loops/b512/t{many}"
    assert str(check.reason).startswith(f"skipped: {asked_of} to {LOOPS}: {asked_of}: {many} threads on ")
    check, _ = run(f"{asked}, {ratio(FAST, LOOPS, 6)}", {FAST: (2e-6,), LOOPS: (1e-5,)})
    assert check.status is Status.FAILED


def test_instruction_set_that_is_not_there_is_skipped(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine of plain vectors alone, AVX-512's ratios are skipped by that name."""
    plain = tuple(isa for isa in instruction_sets() if isa.name == "plain")
    monkeypatch.setattr("fxsim.engines.compiled.instruction_sets", lambda: plain)
    monkeypatch.setattr(measuring, "instruction_sets", lambda: plain)
    check, speed = run(ratio("compiled-avx512/b512/t1", "roof", 0.5), {})
    assert check.status is Status.REPORTED
    assert speed.ratios[0].verdict == "skipped"
    assert "instruction set 'avx512' cannot run here, only: plain" in str(check.reason)


def test_contestant_that_cannot_compute_the_model_fails(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is absent for no lack of the machine's is no ratio that held."""
    monkeypatch.setattr(contestants, "find_checkpoint", lambda _: None)
    pytest.importorskip("torch")
    check, speed = run(ratio(FAST, "torch-fake-quant/b64/t1", 2), {})
    assert (check.status, speed.ratios[0].verdict) == (Status.FAILED, "failed")
    assert "torch-fake-quant/b64/t1: no quantised network of this model is at hand" in str(check.reason)


# --- Before ----------------------------------------------------------------------------------------------------------


def write_before(path: Path, model: str, seconds: float) -> None:
    """A record as `fxsim bench engine -o` writes it, of a model, with these seconds of the loops."""
    small = fxsim.load(model)
    chosen = select(list_contestants(SETS, {}, 1, (512,)), ("loops",))
    found = measure(small, default_images(small, 1), chosen, threads=1, rounds=1, seconds=0.0001, seed=1)
    (result,) = found.results
    found = msgspec.structs.replace(found, results=(msgspec.structs.replace(result, seconds=(seconds,)),))
    stated = BenchRecord("fxsim.bench.engine", 1, (), "2026-01-01T00:00:00", 1.0, "0", {"python": "3"}, found)
    write_record(stated, path)


def test_former_record_is_shown_beside(run: Run, tmp_path: Path) -> None:
    """The report has both rooflines and both figures; nothing is judged by it. Another model's is refused by name."""
    write_before(tmp_path / "before.json", str(MODEL), 2e-5)
    check, speed = run("", {LOOPS: (1e-5,)}, more='before = "before.json"\n')
    assert check.status is Status.PASSED, check.reason
    assert speed.before is not None
    page = (tmp_path / "reports" / "signoff.html").read_text()
    for part in (">before: digits_small on ", ">now: digits_small on ", "now over before", "50,000", "100,000"):
        assert part in page, part
    write_before(tmp_path / "other.json", str(golden_dir() / "small.safetensors"), 2e-5)
    path = tmp_path / "plan.toml"
    path.write_text(f'{PLAN}before = "other.json"\n')
    (check,) = run_plan(load_plan(path)).checks
    assert check.status is Status.ERROR
    assert "other.json was measured of another model: " in str(check.reason)
    assert model_sha256(fxsim.load(MODEL))[:12] in str(check.reason)


# --- Clock and plan --------------------------------------------------------------------------------------------------


def test_one_thread_is_measured_in_processor_time() -> None:
    """A thread that sleeps uses none of it; several are measured by the clock on the wall."""
    import time

    one, several = clock_of(1), clock_of(2)
    before = one(), several()
    time.sleep(0.3)
    assert one() - before[0] < 0.2
    assert several() - before[1] >= 0.3


def test_project_plan_states_ratios() -> None:
    """The project's own plan states ratios of the published size's model at stage V3, and no absolute speed."""
    checks = [check for check in load_plan().checks if isinstance(check, SpeedCheck)]
    assert [(check.stage, check.model, check.at_least, len(check.ratios) > 5) for check in checks] == [
        ("V2", "psa_h96", None, False), ("V3", "psa_h96", None, True),
    ]  # fmt: skip
