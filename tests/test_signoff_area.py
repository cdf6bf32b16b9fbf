"""Kinds `area` and `timing`: figures against recorded ones and other designs, levels against a budget."""

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from fxsim.cli import main
from fxsim.errors import FileError
from fxsim.formats import load, model_sha256, save
from fxsim.graph import Model
from fxsim.paths import golden_dir
from fxsim.prove import netlist
from fxsim.signoff import CheckRecord, Status, load_plan, render_report, run_plan
from fxsim.signoff import designs as designs_room
from fxsim.signoff.files import decode_record, encode_record
from fxsim.synthesis import Area, Resources, Unit
from fxsim.synthesis.record import Levels, Way
from tests.conftest import ROOT
from tests.test_described import design, model

__all__ = ["model"]  # a fixture

HEAD = """title = "silicon"
seed = 1
[models]
small = { file = "small.safetensors" }
small_relu = { file = "small_relu.safetensors" }
[[check]]
name = "silicon"
models = ["small"]
"""
YOSYS = "Yosys 7.0 (of the test)"
FULL = Resources(lut=1000, ff=500, dsp=20, bram=1.5)


def _area(total: Resources, tenths: Mapping[str, int], yosys: str = YOSYS, sha256: str = "") -> Area:
    """An area of the design `chip`, with one module for each longest way."""
    units = [
        Unit(
            module=name,
            instances=1,
            each=Resources(),
            paths=(name,),
            levels=Levels(inside=Way(longest, ("from", "to")), into=None, out=Way(1, ("to", "q")), through=None),
        )
        for name, longest in tenths.items()
    ]
    return Area(
        model="small", accel="stream", design="chip", folder="rtl", device="xcup", family="a family", yosys=yosys,
        total=total, modules=(), units=tuple(units), sources_sha256="", model_sha256=sha256,
    )  # fmt: skip


Faked = Callable[..., None]


@pytest.fixture
def faked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Faked:
    """A function that says what synthesis finds: parts, those without modules or of the second model, ways, version."""
    monkeypatch.chdir(tmp_path)
    for name in ("small", "small_relu"):
        shutil.copy(golden_dir() / f"{name}.safetensors", tmp_path)
    sha256 = model_sha256(load(Path("small.safetensors")))
    row = {
        "model": "small", "model_sha256": sha256, "design": "chip", "device": "xcup", "yosys": YOSYS,
        "total": msgspec.to_builtins(FULL),
    }  # fmt: skip
    recorded = {"format": "fxsim.areas", "version": 1, "areas": [row]}
    Path("areas.json").write_text(json.dumps(recorded))

    def set_up(
        total: Resources = FULL,
        other: Resources = FULL,
        tenths: Mapping[str, int] | None = None,
        yosys: str = YOSYS,
    ) -> None:
        def measured(found: Model, _accel: str, *, without: Sequence[str] = (), **_: Any) -> Area:
            second = bool(without) or found.name != "small"
            return _area(other if second else total, tenths or {}, yosys, model_sha256(found))

        monkeypatch.setattr(designs_room, "measure_area", measured)
        monkeypatch.setattr("fxsim.prove.netlist._yosys", lambda **_: Path("yosys"))

    return set_up


def _run(kind: str, settings: str) -> CheckRecord:
    """The record of a plan's only check, as it is read back, with a report that can be drawn."""
    Path("plan.toml").write_text(HEAD.replace("[[check]]\n", f'[[check]]\nkind = "{kind}"\n') + settings)
    record = run_plan(load_plan(Path("plan.toml")))
    again = decode_record("record", encode_record(record))
    assert "silicon" in render_report(again)
    (check,) = again.checks
    return check


RECORDED = 'recorded = "areas.json"\nlut_margin_percent = 1\n'


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"lut": 1010}, None),
        ({"lut": 990}, None),
        ({"lut": 1011}, "chip with small: 1,011 LUT, recorded 1,000, expected within 1%"),
        ({"lut": 989}, "chip with small: 989 LUT, recorded 1,000, expected within 1%"),
        ({"ff": 501}, "chip with small: 501 FF, recorded 500"),
        ({"ff": 499}, "chip with small: 499 FF, recorded 500"),
        ({"dsp": 21}, "chip with small: 21 DSP, recorded 20"),
        ({"bram": 1.0}, "chip with small: 1 BRAM, recorded 1.5"),
        ({"latch": 1}, "chip with small: 1 LATCH, recorded 0"),
        ({"uram": 1}, "chip with small: 1 URAM, recorded 0"),
    ],
)
def test_figures_are_held_to_recorded_ones(faked: Faked, change: dict[str, Any], said: str | None) -> None:
    """FF, latches, DSP, BRAM and UltraRAM exactly, LUT within the margin to both sides."""
    faked(msgspec.structs.replace(FULL, **change))
    check = _run("area", RECORDED)
    assert (check.status, check.reason) == (Status.PASSED if said is None else Status.FAILED, said)
    if said is None:
        assert check.summary == "1 of 1 designs take what is recorded"


def test_figures_of_another_version_are_no_pass(faked: Faked) -> None:
    """Those of another Yosys are skipped by name; beside a comparison that holds the check is reported."""
    faked(yosys="Yosys 7.1", other=msgspec.structs.replace(FULL, lut=2000))
    said = f"figures of chip with small are of {YOSYS}, here is Yosys 7.1"
    check = _run("area", RECORDED)
    assert (check.status, check.reason) == (Status.SKIPPED, f"nothing to compare with: {said}")
    more = '[check.against]\nmodel = "small_relu"\nof = ["lut"]\nat_most_percent = '
    check = _run("area", RECORDED + more + "-50.0\n")
    assert (check.status, check.reason) == (Status.REPORTED, said)
    assert _run("area", RECORDED + more + "-51.0\n").status is Status.FAILED


def test_what_is_not_recorded_fails(faked: Faked) -> None:
    """A design, a device or a model of another content, of which the file has nothing; a file that says two things."""
    faked()
    assert _run("area", RECORDED + 'device = "xc7"\n').reason is None  # as the fake says it is of xcup
    text = Path("areas.json").read_text()
    Path("areas.json").write_text(text.replace('"xcup"', '"xc7"'))
    assert _run("area", RECORDED).reason == "chip with small: no figures on xcup are recorded"
    sha256 = model_sha256(load(Path("small.safetensors")))
    Path("areas.json").write_text(text.replace(sha256, sha256[::-1]))
    assert _run("area", RECORDED).reason == "chip with small: the recorded figures are of another model of this name"
    Path("areas.json").write_text("[]")
    check = _run("area", RECORDED)
    assert (check.status, "is not a file of recorded areas" in (check.reason or "")) == (Status.ERROR, True)
    twice = json.loads(text)
    twice["areas"].append(twice["areas"][0])
    for broken, said in (
        (json.dumps(twice), "has 2 records of chip with small on xcup, expected one"),
        (text.replace('"uram"', '"ultraram"'), "is not a file of recorded areas"),
    ):
        Path("areas.json").write_text(broken)
        check = _run("area", RECORDED)
        assert (check.status, said in (check.reason or "")) == (Status.ERROR, True)


@pytest.mark.parametrize("which", ['model = "small_relu"\n', 'without = ["table_lane"]\n'])
def test_designs_are_held_against_others(faked: Faked, which: str) -> None:
    """The parts that are counted, together, and the change of their sum, to the last part of a percent."""
    faked(other=msgspec.structs.replace(FULL, lut=1340, dsp=20))
    against = f'[check.against]\n{which}of = ["lut", "dsp"]\nat_most_percent = '
    check = _run("area", against + "-25.0\n")
    # 1,020 against 1,360.
    assert (check.status, check.reason) == (Status.PASSED, None)
    said = "small_relu" if "model" in which else "the same without table_lane"
    assert check.summary == f"small: -25.00% LUT + DSP against {said}"
    check = _run("area", against + "-25.01\n")
    assert check.status is Status.FAILED
    assert check.reason == (
        f"chip with small: 1,020 LUT + DSP against 1,360 of {said}, -25.00%, expected at most -25.01%"
    )
    faked(other=Resources(lut=0, ff=1))
    check = _run("area", against + "25.0\n")
    assert (check.status, "that takes no LUT + DSP" in (check.reason or "")) == (Status.ERROR, True)


def test_parameters_make_another_design(faked: Faked, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has them in its name, and stands beside the design that the same model decides."""
    faked()

    def measured(found: Model, _accel: str, *, parameters: Mapping[str, int] | None, **_: Any) -> Area:
        total = FULL if parameters == {"B": 1, "A": -2} else msgspec.structs.replace(FULL, lut=2000)
        return _area(total, {"fast": 120 if parameters else 20}, YOSYS, model_sha256(found))

    monkeypatch.setattr(designs_room, "measure_area", measured)
    chosen = "parameters = { B = 1, A = -2 }\n"
    against = '[check.against]\nmodel = "small"\nof = ["lut"]\nat_most_percent = '
    check = _run("area", chosen + against + "-50.0\n")
    assert (check.status, check.summary) == (Status.PASSED, "small: -50.00% LUT against small")
    check = _run("area", chosen + against + "-51.0\n")
    assert check.reason == (
        "chip A=-2 B=1 with small: 1,000 LUT against 2,000 of small, -50.00%, expected at most -51%"
    )
    check = _run("timing", chosen + "levels = 11\n")
    assert check.reason == "chip A=-2 B=1 with small: fast: 12.0 levels, expected at most 11: from > to"


def test_nothing_is_no_pass(faked: Faked) -> None:
    """A design of which nothing is left, recorded or not; nothing that is taken out; modules without ways."""
    faked(Resources(ff=1), other=Resources(lut=5))
    against = '[check.against]\nwithout = ["x"]\nof = ["lut"]\nat_most_percent = 1.0\n'
    assert "nothing of it is left" in (_run("area", against).reason or "")
    faked()
    assert _run("area", against).reason == (
        "chip with small: the same without x: takes as much of everything, so that nothing was taken out"
    )
    faked(tenths={})
    check = _run("timing", "levels = 11\n")
    assert check.reason == "chip with small: no way through logic was found in any module"


@pytest.mark.parametrize(
    ("kind", "settings", "said"),
    [
        ("area", "", "asks for nothing"),
        ("area", RECORDED.replace("= 1", "= 100"), "lut_margin_percent"),
        ("area", 'device = "virtex"\n' + RECORDED, "names device 'virtex', expected of: xcup"),
        ("area", '[check.against]\nof = ["lut"]\nat_most_percent = 1\n', "is against nothing or two designs"),
        (
            "area",
            '[check.against]\nof = ["lut"]\nmodel = "small_relu"\nwithout = ["x"]\nat_most_percent = 1\n',
            "is against nothing or two designs",
        ),
        (
            "area",
            '[check.against]\nof = ["lut"]\nmodel = "small"\nat_most_percent = 1\n',
            "compares model 'small' with",
        ),
        (
            "area",
            'dut = "my.toml"\n[check.against]\nof = ["lut"]\nwithout = ["x"]\nat_most_percent = 1\n',
            "takes modules out of a described design",
        ),
        ("area", '[check.against]\nof = ["lut"]\nmodel = "absent"\nat_most_percent = 1\n', "absent"),
        ("area", '[check.against]\nof = []\nmodel = "small_relu"\nat_most_percent = 1\n', "length >= 1"),
        ("area", '[check.against]\nof = ["lut", "lut"]\nwithout = ["x"]\nat_most_percent = 1\n', "more than once"),
        ("area", '[check.against]\nof = ["lut"]\nwithout = ["x"]\nat_most_percent = 100\n', "at_most_percent"),
        ("area", RECORDED + "parameters = { LANES = 2 }\n", "has parameters beside recorded figures"),
        ("timing", 'levels = 11\ndut = "my.toml"\nparameters = { A = 1 }\n', "has parameters beside a dut"),
        ("timing", "levels = 1000\n", "levels"),
        ("timing", 'levels = 11\naccelerators = ["nothing"]\n', "names accelerator 'nothing'"),
        ("timing", 'levels = 11\ndevice = "virtex"\n', "names device 'virtex'"),
        (
            "timing",
            'levels = 11\nexceptions = [{ module = "a", levels = 11, because = "it is so." }]\n',
            "length >= 10",
        ),
        (
            "timing",
            'levels = 11\nexceptions = [{ module = "a", levels = 11, because = "it is how it is." }]\n',
            "allows no more than all may have",
        ),
        (
            "timing",
            'levels = 11\nexceptions = [{ module = "a", levels = 12, because = "it is how it is." }, '
            '{ module = "a", levels = 13, because = "it is how it is." }]\n',
            "two exceptions of module 'a'",
        ),
    ],
)
def test_what_nothing_can_miss_is_refused(faked: Faked, kind: str, settings: str, said: str) -> None:
    """Before anything is synthesised, by name."""
    faked()
    with pytest.raises(FileError, match=said):
        _run(kind, settings)


EXCEPTION = 'levels = 11.0\nexceptions = [{ module = "slow", levels = 12.5, because = "it waits for a register." }]\n'


def test_modules_are_held_to_a_budget(faked: Faked) -> None:
    """To the tenth of a level, whichever of its ways is the longest; the worst is named with its way."""
    faked(tenths={"fast": 20, "slow": 110})
    check = _run("timing", "levels = 11.0\n")
    assert (check.status, check.summary) == (
        Status.PASSED,
        "2 modules within 11 levels; the most is 11.0 of slow",
    )
    faked(tenths={"fast": 20, "slow": 111})
    check = _run("timing", "levels = 11.0\n")
    assert check.status is Status.FAILED
    assert check.reason == "chip with small: slow: 11.1 levels, expected at most 11: from > to"


def test_exceptions_hold_as_far_as_they_are_needed(faked: Faked) -> None:
    """A module that has one may have so many levels and no more; one that is not needed, or of no module, fails."""
    for tenths, reason in (
        ({"slow": 125, "fast": 3}, None),
        ({"slow": 126}, "chip with small: slow: 12.6 levels, expected at most 12.5: from > to"),
        (
            {"slow": 110},
            "the exception of slow is stale: its longest way has 11.0 levels, within the 11 that all may have",
        ),
        ({"fast": 3}, "the exception of slow is stale: no design has such a module, but fast"),
    ):
        faked(tenths=tenths)
        check = _run("timing", EXCEPTION)
        assert (check.status, check.reason) == (Status.PASSED if reason is None else Status.FAILED, reason)
        if reason is None:
            assert check.summary == "1 of 2 modules within 11 levels; exceptions: 1; the most is 12.5 of slow"


def test_without_yosys_both_are_skipped(faked: Faked, monkeypatch: pytest.MonkeyPatch) -> None:
    """And say what is missing."""
    faked()
    monkeypatch.setattr(netlist, "_yosys", lambda **_: None)
    for kind, settings in (("area", RECORDED), ("timing", "levels = 11\n")):
        check = _run(kind, settings)
        assert (check.status, check.reason) == (
            Status.SKIPPED,
            "the extra 'silicon' is not installed: there is no Yosys here",
        )


@pytest.mark.slow
@pytest.mark.yosys
def test_a_change_of_the_rtl_is_seen(model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures that the command recorded hold; one more register, or a longer way, does not."""
    dut = design(tmp_path / "awkward")
    monkeypatch.chdir(tmp_path)
    save(model, Path("tiny.safetensors"))
    with pytest.raises(SystemExit) as ended:
        main(["area", "tiny.safetensors", "--dut", str(dut), "--device", "ecp5", "--record", "areas.json", "--json"])
    assert ended.value.code == 0
    head = 'title = "t"\nseed = 1\n[models]\ntiny = { file = "tiny.safetensors" }\n'
    common = f'models = ["tiny"]\ndut = "{dut}"\ndevice = "ecp5"\n'
    area = f'[[check]]\nkind = "area"\nname = "area"\n{common}recorded = "areas.json"\n'
    timing = f'[[check]]\nkind = "timing"\nname = "timing"\n{common}levels = '
    Path("plan.toml").write_text(f"{head}{area}")
    (held,) = run_plan(load_plan(Path("plan.toml"))).checks
    assert (held.status, held.summary) == (Status.PASSED, "1 of 1 designs take what is recorded")
    # One more register behind a neuron's result, with an enable that is there already.
    source = dut.parent / "neuron.sv"
    text = source.read_text(encoding="utf-8")
    edited = text.replace(
        "always_ff @(posedge clk_i) if (fire_i) q_o <= q;",
        "value_t early; always_ff @(posedge clk_i) if (fire_i) begin early <= q; q_o <= early; end",
    )
    assert edited != text
    source.write_text(edited, encoding="utf-8")
    Path("plan.toml").write_text(f"{head}{area}{timing}1.0\n")
    found = {check.name: check for check in run_plan(load_plan(Path("plan.toml"))).checks}
    assert {name: check.status for name, check in found.items()} == {"area": Status.FAILED, "timing": Status.FAILED}
    # As the design's own test has it: 117 flip-flops, and four results of eight bits once more.
    assert (found["area"].reason or "").startswith("awkward with tiny: 149 FF, recorded 117")
    assert "levels, expected at most 1:" in (found["timing"].reason or "")


def test_the_projects_own_plan_holds_to_what_is_measured() -> None:
    """Its recorded areas are of golden models as they are, and every one is asked for by a check."""
    from fxsim.signoff.checks.area import AreaCheck
    from fxsim.synthesis import read_recorded

    plan = load_plan(golden_dir() / "signoff.toml")
    areas = read_recorded(ROOT / "golden" / "areas.json")
    hashes = {each.model: each.model_sha256 for each in areas}
    assert hashes == {name: model_sha256(load(golden_dir() / f"{name}.safetensors")) for name in hashes}
    assert len({each.yosys for each in areas}) == 1
    asked = {
        (name, accelerator)
        for check in plan.checks
        if isinstance(check, AreaCheck) and check.recorded == "areas.json"
        for name in check.models
        for accelerator in check.accelerators
    }
    assert {(each.model, each.design.removesuffix("_resmlp")) for each in areas} == asked
