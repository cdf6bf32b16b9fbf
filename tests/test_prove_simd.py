"""Proofs of the whole SIMD accelerator: a small model in a job, and what is wrong around or in it is never proved."""

import itertools
import shutil
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from fxsim import run
from fxsim.contract import TableRule
from fxsim.devices import DEVICES, make_settings
from fxsim.devices.provable import Access, Lane, ProofBus, Provable
from fxsim.devices.simd import Register, build_memory_image
from fxsim.errors import ToolError
from fxsim.families import ResMLPConfig
from fxsim.families.random import generate_model
from fxsim.graph import INPUT, Model
from fxsim.operators import Linear
from fxsim.paths import rtl_dir
from fxsim.prove.blocks import PROVED, REFUTED
from fxsim.prove.btor2 import parse
from fxsim.prove.concrete import Evaluator
from fxsim.prove.expected import Functions, Numbers
from fxsim.prove.judge import Judge
from fxsim.prove.kept import find_key
from fxsim.prove.machine import Machine, constant
from fxsim.prove.netlist import Made, make_netlist
from fxsim.prove.program import Program, make_program
from fxsim.prove.run import ProofRequest, make_setup, prove, sample_images
from fxsim.prove.schedules import prove_schedules
from fxsim.prove.symbolic import Outcome, Run
from fxsim.simulate.sources import read_sources
from fxsim.simulate.stall import parse_stall

IMAGES = 2


@cache
def tiny() -> Model:
    """A ResMLP of one block with tables, and lanes that hold no channel in every tensor."""
    config = ResMLPConfig(4, 3, 3, 4, 1, 2, points=16, rule=TableRule.CLAMP)
    images = np.random.default_rng(3).integers(-128, 128, (50, 4, 3)).astype(np.int8)
    return generate_model("tiny", config, images, 7)


def design_of(model: Model) -> Provable:
    """The accelerator, as it is proved."""
    device = DEVICES["simd"]
    assert device.proofs is not None
    (design,) = device.proofs(model, make_settings("simd", device.settings, {}), None)
    return design


class Ground(NamedTuple):
    """The accelerator with its netlist, and the values of samples of every image."""

    design: Provable
    made: Made
    program: Program
    functions: Functions
    samples: Numbers


@pytest.fixture(scope="module")
def ground() -> Ground:
    """One netlist for all."""
    model, design = tiny(), design_of(tiny())
    made = make_netlist(read_sources(rtl_dir()), design.top, design.parameters, design.files)
    functions = Functions(model.graph)
    x = sample_images(model, IMAGES + 1, seed=1)
    every = functions.samples(x, run(model, x, model.graph.taps))
    samples = np.concatenate([every[:, i : i + 2] for i in range(IMAGES)])
    return Ground(design, made, make_program(made.netlist), functions, samples)


def judged(ground: Ground, bus: ProofBus, images: int = 1, schedule: str = "none") -> tuple[Outcome, Run]:
    """A run with this bus around the accelerator, and one on the numbers of the first sample."""
    design = ground.design._replace(bus=bus)
    setup = make_setup(design, ground.made, ground.program, ground.functions)
    total, stall = ground.functions.total, parse_stall(schedule)
    machine = Machine(ground.program)
    judge = Judge(machine, ground.functions, ground.samples)
    outcome = Run(machine, setup, total, images, judge, stall=stall).run()
    numbers = Run(Machine(ground.program), setup, total, images, None, ground.samples[:, 0].tolist(), stall)
    return outcome, numbers


def bus_of(ground: Ground) -> ProofBus:
    """What stands around the accelerator."""
    assert ground.design.bus is not None
    return ground.design.bus


def test_a_job_is_proved_for_all_images(ground: Ground) -> None:
    """Every value of every tap, and of what is written; of two images, under stalls; and on numbers."""
    outcome, numbers = judged(ground, bus_of(ground), IMAGES, "random:3")
    assert (outcome.stopped, outcome.findings) == ("", ())
    shapes = tiny().graph.shapes
    wanted = {tap: IMAGES * int(np.prod(shapes[tap])) for tap in tiny().graph.taps} | {"result": IMAGES * 2}
    assert {name: count.values for name, count in outcome.counts.items()} == wanted
    assert all(count.proved == count.values for count in outcome.counts.values())
    assert numbers.run().stopped == ""
    assert len(numbers.seen()) == sum(wanted.values())
    assert {seen.stream for seen in numbers.seen()} == wanted.keys()
    assert all(seen.value == ground.samples[seen.number, 0] for seen in numbers.seen())


def test_a_wrong_weight_in_memory_is_found_at_its_tap(ground: Ground) -> None:
    """A bit of a weight of the embedding: its channel is wrong of every token, and nothing of another tap is."""
    bus = bus_of(ground)
    parameters = bus.reads[0]
    sections = build_memory_image(tiny()).layers[0].sections
    (weights,) = [section for section in sections if (section.kind, section.tap) == ("weight", "embed")]
    assert isinstance(parameters.content, bytes)
    content = bytearray(parameters.content)
    content[16 * weights.first_word + 1] ^= 1
    wrong = bus._replace(reads=(parameters._replace(content=bytes(content)), *bus.reads[1:]))
    outcome, _ = judged(ground, wrong)
    assert outcome.stopped == ""
    assert {(f.kind, f.tap, f.token, f.channel) for f in outcome.findings} == {
        ("sample" if f.sample is not None else "differs", "embed", token, 1)
        for f, token in zip(outcome.findings, range(4), strict=True)
    }
    assert outcome.counts["embed"] == (12, 8)
    assert sum(count.values - count.proved for count in outcome.counts.values()) == 4


def test_control_that_depends_on_data_stops_the_run(ground: Ground) -> None:
    """A descriptor of which a byte is a value of the image; an address of parameters that nothing determines."""
    bus = bus_of(ground)
    parameters = bus.reads[0]
    assert isinstance(parameters.content, bytes)
    lanes: list[Lane | None] = [Lane(INPUT, None, 0, byte) for byte in parameters.content]
    for lane in (Lane(INPUT, 0, 0), None):
        lanes[4] = lane
        wrong = bus._replace(reads=(parameters._replace(content=tuple(lanes)), *bus.reads[1:]))
        outcome, _ = judged(ground, wrong)
        assert "control must not" in outcome.stopped
        assert {count.values for count in outcome.counts.values()} == {0}


@pytest.mark.parametrize(
    ("register", "kind", "value", "said"),
    [
        (Register.ID, "read", 1, "the register at 0x0 reads 0x46580001 in cycle"),
        (Register.RESULT_ADDR_LO, "write", 0x3000_1000, "'m_axi_awaddr' is 0x30001000 in cycle"),
        (Register.PARAM_ADDR_LO, "write", 0x10, "expected only parameters, images"),
        (Register.IMAGE_WORDS, "write", 5, "of 5 beats: expected only parameters, images"),
        (Register.IMAGES_DONE, "read", 7, "the register at 0x48 reads 0x1 in cycle"),
    ],
)
def test_what_breaks_a_rule_of_the_bus_stops_the_run(
    ground: Ground, register: Register, kind: str, value: int, said: str
) -> None:
    """Registers that read otherwise, addresses where nothing is, an end before all is written: each by its name."""
    bus = bus_of(ground)
    program = tuple(
        step._replace(value=value, each=0) if (step.kind, step.address) == (kind, register) else step
        for step in bus.program
    )
    assert program != bus.program
    assert said in judged(ground, bus._replace(program=program))[0].stopped


def test_a_word_that_is_not_written_is_missed(ground: Ground) -> None:
    """A job of one image where two were wanted: the interrupt comes too early; without a start it never does."""
    bus = bus_of(ground)
    count = Register.IMAGE_COUNT
    one = tuple(step._replace(value=1, each=0) if step.address == count else step for step in bus.program)
    assert "before all is written" in judged(ground, bus._replace(program=one), images=2)[0].stopped
    idle = tuple(step for step in bus.program if (step.kind, step.address) != ("write", Register.CONTROL))
    assert "showed 0 of" in judged(ground, bus._replace(program=idle))[0].stopped


def test_lanes_behind_the_last_channel_hold_what_the_parameters_make_of_them(ground: Ground) -> None:
    """The bias of a token where sums are over tokens, and 0 everywhere else; another constant there is a finding."""
    first = {monitor.name: monitor.words for monitor in ground.design.monitors}
    mixer = tiny().graph.by_name["blocks.0.token_mixer.linear"].op
    assert isinstance(mixer, Linear)
    words = [word for word in first["mon_linear"] if word[0].tap == "blocks.0.token_mixer.linear"]
    assert [word[3].holds for word in words] == mixer.bias.tolist()
    wrong = ground._replace(
        design=ground.design._replace(
            monitors=tuple(
                monitor._replace(words=tuple((*word[:15], word[15]._replace(holds=5)) for word in monitor.words))
                if monitor.name == "mon_pool"
                else monitor
                for monitor in ground.design.monitors
            )
        )
    )
    outcome, _ = judged(wrong, bus_of(ground))
    assert [(f.kind, f.tap, f.channel) for f in outcome.findings] == [("lane", "pool", 15)]
    assert "holds 0, expected 5" in outcome.findings[0].text


def test_the_bus_is_part_of_what_a_kept_proof_rests_on(ground: Ground) -> None:
    """Another byte of the parameters, another latency: another key."""
    bus = bus_of(ground)
    others = (
        bus,
        bus._replace(latency=bus.latency + 1),
        bus._replace(program=(*bus.program, Access("read", Register.ID))),
        bus._replace(reads=(bus.reads[0]._replace(base=0), *bus.reads[1:])),
    )
    keys = {find_key("design", {"design": ground.design._replace(bus=other)}) for other in others}
    assert len(keys) == len(others)


def test_what_is_not_proved_of_it_is_refused_by_name() -> None:
    """A module of which no rule is stated, all schedules, and jobs of fewer images than the run."""
    with pytest.raises(ToolError, match="'simd_core' of the accelerator 'simd' is not proved alone: its order of"):
        prove(ProofRequest(tiny(), device="simd", module="simd_core"))
    with pytest.raises(ToolError, match=r"'block_transpose' .* not proved alone: .* proved with --schedule all"):
        prove(ProofRequest(tiny(), device="simd", module="block_transpose"))
    with pytest.raises(ToolError, match="nothing is stated of the whole of device 'simd' for all schedules"):
        prove_schedules(tiny(), device="simd")
    with pytest.raises(ToolError, match="one job of all images of the run: leave 'batch' unset"):
        prove(ProofRequest(tiny(), device="simd", settings={"batch": 1}, images=2))


def test_a_wrong_look_up_is_caught(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    """A prover that takes the words of a table in another order: its terms are wrong of the samples' values."""
    right = Machine._table

    def turned(machine: Machine, words: Numbers, width: int) -> int:
        return right(machine, np.roll(words, 1, axis=0), width)

    monkeypatch.setattr(Machine, "_table", turned)
    outcome, _ = judged(ground, bus_of(ground))
    assert {finding.tap for finding in outcome.findings} == {"blocks.0.mlp.psa_1", "blocks.0.mlp.psa_2"}


CHAIN = """
1 sort bitvec 8
2 sort bitvec 3
3 input 1 in
4 state 1 first
5 state 2 narrow
6 state 1 second
7 state 1 third
8 slice 2 4 2 0
9 next 1 4 3
10 next 2 5 8
11 next 1 6 4
12 next 1 7 6
13 output 7 last
14 output 5 low
"""


def test_registers_behind_registers_take_what_stood_there() -> None:
    """A chain of registers of several widths, without a cell between them: as the plain evaluator has them."""
    netlist = parse(CHAIN)
    program, random = make_program(netlist), np.random.default_rng(1)
    machine, plain = Machine(program), Evaluator(netlist, lambda _: 0)
    for cycle in range(40):
        value = int(random.integers(0, 256))
        places = program.places[netlist.inputs["in"]]
        assert places is not None
        machine.put(places, constant(value, 8))
        machine.propagate()
        plain.evaluate({"in": value})
        for name, width in (("last", 8), ("low", 3)) if cycle > 3 else ():
            at = program.places[netlist.output(name)]
            assert machine.bits[at].tolist() == constant(plain.value(netlist.output(name)), width).tolist()
        machine.tick()
        plain.tick()


@pytest.mark.parametrize("width", [64, 65, 100])
def test_numbers_are_compared_at_any_width(width: int) -> None:
    """Less than, with and without a sign, of constants of more bits than a term has."""
    text = f"1 sort bitvec {width}\n2 sort bitvec 1\n3 input 1 a\n4 input 1 b\n5 slt 2 3 4\n6 ult 2 3 4\n"
    netlist = parse(f"{text}7 output 5 signed\n8 output 6 unsigned\n")
    program = make_program(netlist)
    machine = Machine(program)
    top = 1 << width - 1
    for a, b in itertools.product((0, 1, 2, top - 1, top, top + 1, 2 * top - 1), repeat=2):
        for name, value in (("a", a), ("b", b)):
            machine.put(program.places[netlist.inputs[name]], constant(value, width))
        machine.propagate()
        less = [int(machine.bits[program.places[netlist.output(name)]][0]) for name in ("signed", "unsigned")]
        signed_a, signed_b = ((value ^ top) - top for value in (a, b))
        assert less == [signed_a < signed_b, a < b], (a, b)


@pytest.mark.thorough
@pytest.mark.verilator
def test_a_fault_is_refuted_by_an_image(tmp_path: Path) -> None:
    """The residual of another token: named at its tap, and an image shows it in Verilator."""
    shutil.copytree(rtl_dir(), tmp_path / "rtl")
    path = tmp_path / "rtl" / "simd" / "simd_epilogue.v"
    text = path.read_text()
    before = ".read_address(address_4["
    assert before in text
    path.write_text(text.replace(before, before.replace("4", "8")))
    (proof,) = prove(ProofRequest(tiny(), device="simd", rtl=tmp_path / "rtl")).proofs
    assert proof.status == REFUTED
    assert proof.refutation is not None
    assert proof.findings[0].tap == "blocks.0.token_mixer.add"
    (good,) = prove(replace(ProofRequest(tiny(), device="simd"), simulate=False)).proofs
    assert good.status == PROVED
