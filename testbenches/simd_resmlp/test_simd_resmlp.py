"""simd_resmlp.v: many models one after the other in one accelerator, every stage against the reference engine."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import cocotb
import numpy as np
import numpy.typing as npt
import pytest

from fxsim.contract import TableRule
from fxsim.devices.simd.memory_image import Buffers, build_memory_image
from fxsim.devices.simd.registers import Control, ErrorCode, Register
from fxsim.errors import ModelError
from fxsim.families import ResMLPConfig, build_resmlp, resmlp_parameters
from fxsim.graph import Model
from testbenches.common.axi_memory import pause
from testbenches.common.constants import Constants, random_resmlp
from testbenches.common.seeds import generator
from testbenches.common.simulation import load_case, simulate
from testbenches.common.stalls import blocked, bursts, random
from testbenches.simd_resmlp.machine import Job, Machine, Program, program, steps

CLAMP, HOLD, ENDPOINT, FULL = TableRule.CLAMP, TableRule.HOLD, TableRule.ENDPOINT, TableRule.FULL

IMAGES = 4
RANDOM_CONFIGS = 2

TIGHT = Buffers(
    activation_words=128,
    image_words=128,
    residual_words=128,
    weight_words=128,
    table_words=256,
    constant_groups=1,
    chunks=4,
    layers=8,
    acc_w=24,
    burst=8,
    fifo_words=16,
)
"""Every ring is far smaller than most models' parameters, so that all of them wrap; some buffers are filled exactly."""

ROOMY = Buffers(
    address_w=40,
    activation_words=64,
    image_words=64,
    residual_words=64,
    weight_words=512,
    table_words=2048,
    constant_groups=16,
    chunks=16,
    layers=16,
    acc_w=22,
    burst=64,
    fifo_words=128,
)
"""Rings that hold all of a small model's parameters."""

# Tokens, values, channels, hidden, blocks, classes, points, rule.
MODELS: dict[str, tuple[Buffers, dict[str, ResMLPConfig]]] = {
    "tight": (
        TIGHT,
        {
            "ones": ResMLPConfig(1, 1, 1, 1, 1, 1),
            "clamp_4": ResMLPConfig(4, 17, 5, 3, 1, 10, 4, CLAMP),
            "relu": ResMLPConfig(8, 20, 31, 32, 3, 17),
            "endpoint_16": ResMLPConfig(32, 5, 33, 40, 2, 3, 16, ENDPOINT),
            "full": ResMLPConfig(2, 48, 17, 16, 1, 33, 256, FULL),
            "hold_64": ResMLPConfig(16, 33, 16, 5, 1, 4, 64, HOLD),
            "extreme_8": ResMLPConfig(4, 16, 18, 12, 2, 7, 8, CLAMP),
            "extreme_relu": ResMLPConfig(2, 3, 6, 20, 1, 2),
            "many_classes": ResMLPConfig(1, 1, 1, 1, 1, 330),
            "filled_buffers": ResMLPConfig(32, 60, 61, 7, 1, 1),
            "filled_weights": ResMLPConfig(16, 3, 9, 125, 1, 2),
        },
    ),
    "roomy": (
        ROOMY,
        {
            "ones_table": ResMLPConfig(1, 1, 1, 1, 1, 1, 4, HOLD),
            "clamp_32": ResMLPConfig(4, 6, 17, 4, 1, 2, 32, CLAMP),
            "endpoint_256": ResMLPConfig(2, 4, 3, 17, 1, 5, 256, ENDPOINT),
            "hold_128": ResMLPConfig(8, 4, 16, 9, 1, 16, 128, HOLD),
            "endpoint_4": ResMLPConfig(16, 18, 20, 3, 1, 2, 4, ENDPOINT),
            "relu": ResMLPConfig(4, 5, 9, 7, 2, 6),
        },
    ),
}


def extreme_resmlp(config: ResMLPConfig, rng: np.random.Generator) -> Model:
    """A ResMLP of the greatest and smallest constants, and shifts from 0 to 255."""
    ends = np.array([-128, -127, -1, 0, 1, 126, 127], np.int8)
    shifts = np.array([0, 1, 6, 7, 8, 9, 10, 12, 15, 16, 20, 24, 31, 32, 33, 64, 127, 128, 254, 255], np.uint8)
    parameters: Constants = {}
    for name, shape in resmlp_parameters(config).items():
        parameters[name] = rng.choice(shifts if name.endswith("shift") else ends, shape)
    return Model(build_resmlp(config, parameters), "extreme")


def random_configs(rng: np.random.Generator, buffers: Buffers, count: int) -> Iterator[ResMLPConfig]:
    """Dimensions and table formats within the buffers."""
    while count:
        rule = rng.choice([None, CLAMP, HOLD, ENDPOINT, FULL])
        points = 0 if rule is None else 256 if rule is FULL else 1 << int(rng.integers(2, 9))
        values, channels, hidden, classes = np.exp(rng.uniform(0, 4, 4)).astype(int).tolist()
        tokens, blocks = 1 << int(rng.integers(6)), int(rng.integers(1, 4))
        config = ResMLPConfig(tokens, values, channels, hidden, blocks, classes, points, rule)
        try:
            build_memory_image(random_resmlp(config, rng), buffers)
        except ModelError:
            continue
        if sum(steps(config)) < 600:
            yield config
            count -= 1


def stimulus(rng: np.random.Generator, config: ResMLPConfig) -> npt.NDArray[np.int8]:
    """Images of random values; in some, most are the greatest or the smallest."""
    x = rng.integers(-128, 128, (IMAGES, config.tokens, config.values)).astype(np.int8)
    x[1] = np.where(rng.random(x[1].shape) < 0.7, rng.choice(np.array([-128, 127], np.int8), x[1].shape), x[1])
    return x


STALLS = {
    "memory slow": (0.5, 0.5),
    "memory slow to answer": (0.0, 0.8),
    "memory slow to take": (0.8, 0.0),
}
"""Shares of the cycles that requests, and answers, are held back."""


@cocotb.test()
async def equals_the_reference(dut):
    """Every model, one after the other without a reset: PSA and ReLU, all sizes, table formats and extremes."""
    rng = generator("simd_resmlp reference")
    machine = await Machine.started(dut)
    programs = Program.all(load_case())
    for k in rng.permutation(len(programs)):
        await machine.run(Job.anywhere(rng, programs[k], int(dut.ADDRESS_W.value), picks=(int(rng.integers(IMAGES)),)))


@cocotb.test()
@cocotb.parametrize(stall=list(STALLS))
async def equals_the_reference_under_stalls(dut, stall):
    """Two images each of some models, from a memory that holds back each channel on its own."""
    rng = generator(f"simd_resmlp {stall}")
    machine = await Machine.started(dut)
    requests, answers = (partial(random, rng, share) for share in STALLS[stall])
    machine.memory.pause(requests, answers)
    machine.pause_registers(partial(random, rng, 0.5))
    small = [one for one in Program.all(load_case()) if len(one.words) < 400]
    for k in rng.permutation(len(small))[:2]:
        await machine.run(Job.anywhere(rng, small[k], int(dut.ADDRESS_W.value), picks=(3, 1)))


@cocotb.test()
async def takes_answers_in_any_order(dut):
    """A distant memory whose answers to images and to parameters overtake each other, in bursts."""
    rng = generator("simd_resmlp overtaking")
    machine = await Machine.started(dut)
    machine.memory.reads.latency = 64
    machine.memory.reads.shuffle = rng
    machine.memory.pause(None, partial(bursts, rng, 30))
    for one in Program.all(load_case())[1:3]:
        await machine.run(Job.anywhere(rng, one, int(dut.ADDRESS_W.value), picks=(0, 2, 1)))


@cocotb.test()
async def starts_again_at_once(dut):
    """A start in the first cycles after a run's end, and all reasons to wait, each shown where it must be."""
    machine = await Machine.started(dut)
    programs = Program.all(load_case())
    job = Job(max(programs, key=lambda one: one.result_words), (2,))
    await machine.start(job)
    for _ in range(2):
        await machine.until_done(job.limit)
        machine.forget()
        assert await machine.write(Register.CONTROL, job.control | 1 << Control.START) == 0
        assert not machine.irq
    await machine.finish(job)
    assert machine.waits[1], "parameters come one after the other, yet nothing waits for them"
    if job.program.descriptors()[1] <= int(dut.BURST.value):
        assert machine.waits[2], "an image comes behind all parameters of its first layer, yet nothing waits for it"
        assert machine.waits[3], "a layer depends on the one before, yet nothing waits for it"
    else:
        pause(machine.memory.writes.w_channel, blocked())
        await machine.start(job)
        for _ in range(60):
            await machine.wait(50)
            if machine.waits[4]:
                break
        assert machine.waits[4], "many results cannot leave, yet nothing waits for room"
        pause(machine.memory.writes.w_channel, None)
        await machine.finish(job)


@cocotb.test()
async def keeps_parameters(dut):
    """A batch whose parameters are read once, or an error where the rings cannot hold them; then one without `keep`."""
    rng = generator("simd_resmlp keep")
    machine = await Machine.started(dut)
    for one in Program.all(load_case())[:6]:
        job = Job.anywhere(rng, one, int(dut.ADDRESS_W.value), picks=(3, 0, 1, 0), keep=True)
        if one.keeps:
            await machine.run(job)
        else:
            assert (await machine.fails(job))[0] is ErrorCode.DOES_NOT_FIT
        if len(one.words) < 300:
            await machine.run(Job.anywhere(rng, one, int(dut.ADDRESS_W.value), picks=(2,)))


@pytest.mark.parametrize(
    "buffers", [name if name == "tight" else pytest.param(name, marks=pytest.mark.thorough) for name in MODELS]
)
def test_simd_resmlp(buffers: str, tmp_path: Path) -> None:
    """simd_resmlp.v equals the reference engine at every stage of every model: stalls, batches, kept parameters."""
    sizes, configs = MODELS[buffers]
    case = {}
    further = random_configs(generator(f"simd_resmlp random {buffers}"), sizes, RANDOM_CONFIGS)
    for name, config in {**configs, **{f"random_{k}": config for k, config in enumerate(further)}}.items():
        print(name, config)
        rng = generator(f"simd_resmlp {name}")
        model = (extreme_resmlp if name.startswith("extreme") else random_resmlp)(config, rng)
        case |= program(name, model, config, stimulus(rng, config), sizes)
    simulate(__name__, "simd_resmlp", tmp_path, sizes.parameters(), case)
