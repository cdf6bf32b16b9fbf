"""Named contracts: each against an implementation that is not ours, recorded or run here, and against plain integers.

`scripts/record_contracts.py` made `files/contracts.npz`.
"""

from collections.abc import Callable
from fractions import Fraction
from math import floor
from pathlib import Path

import numpy as np
import pytest

from fxsim.contract import INT8, Number, Sign
from fxsim.errors import ModelError
from fxsim.explain.contracts import CONTRACTS, ONE, Contract, Overflow, contract
from fxsim.explain.rules import cut

RECORDED = Path(__file__).parent / "files" / "contracts.npz"
SHIFTS = (0, 1, 2, 5, 20)
SOURCES = {
    "litert_reference": ["litert_reference"],
    "litert_optimized": ["litert_optimized"],
    "litert_xnnpack": ["xnnpack_fp32", "onnx_qlinear"],
    "tflite_micro": ["tflite_reference"],
    "vela": ["gemmlowp"],
    "executorch": ["cmsis_nn"],
    "qonnx": ["finn_thresholds"],
}
"""From what was recorded: the contracts that say the same."""


@pytest.fixture(scope="module")
def recorded() -> dict[str, np.ndarray]:
    """All that was recorded."""
    with np.load(RECORDED, allow_pickle=False) as archive:
        return dict(archive)


@pytest.mark.parametrize("source", SOURCES)
def test_a_contract_is_what_others_compute(recorded: dict[str, np.ndarray], source: str) -> None:
    """Fully connected layers, requantisations, thresholds: every value."""
    cases = [key for key in recorded if key.startswith(f"{source}/")]
    assert len(cases) == (5 if source == "qonnx" else 10)
    for key in cases:
        _, shift, multiplier = key.split("/")
        acc = recorded[f"acc/{shift}"].astype(np.int64)
        for name in SOURCES[source]:
            made = contract(name).requantise(acc, int(shift), 0, INT8, int(multiplier))
            assert np.array_equal(made, recorded[key]), (name, key)


def test_ap_fixed_is_what_its_headers_compute(recorded: dict[str, np.ndarray]) -> None:
    """Every mode of quantisation with every mode of overflow."""
    modes = [key for key in recorded if key.startswith("ap_fixed/")]
    assert len(modes) == 28
    for key in modes:
        _, rounding, overflow = key.lower().split("/")
        named = contract(f"ap_{rounding}_{overflow}")
        made = [named.requantise(recorded[f"acc/{s}"].astype(np.int64), s, 0, INT8) for s in SHIFTS]
        assert np.array_equal(np.concatenate(made), recorded[key]), key


def test_averages_are_what_others_compute(recorded: dict[str, np.ndarray]) -> None:
    """Average pooling over eight values."""
    total = recorded["mean/x"].astype(np.int64).sum(axis=1)
    for source in ("litert_reference", "litert_optimized", "litert_xnnpack", "tflite_micro"):
        for name in SOURCES[source][:1]:
            assert np.array_equal(cut(total, 3, contract(name).mean), recorded[f"mean/{source}"])


def test_what_is_held_is_said() -> None:
    """A contract says what it was compared with, and the docs list every one."""
    page = (Path(__file__).parent.parent / "docs" / "explain.md").read_text()
    for name, one in CONTRACTS.items():
        row = f"| `{name}` |" if not name.startswith("ap_") else "| `ap_MODE_OVERFLOW`"
        (line,) = [line for line in page.splitlines() if line.startswith(row)]
        assert line.endswith(f"| {one.held} |"), name
    assert {name for name, one in CONTRACTS.items() if "by hand" in one.held} == set(BY_HAND)
    assert all(one.held for one in CONTRACTS.values())
    assert len(CONTRACTS) == 15 + 28 + 16


def c_divided(value: int, by: int) -> int:
    """C's division of integers, which cuts off toward zero."""
    return abs(value) // by * (1 if value >= 0 else -1)


def single_rounding(x: int, multiplier: int, shift: int) -> int:
    """MultiplyByQuantizedMultiplier with TFLITE_SINGLE_ROUNDING: int64 product, half added, shifted by 31 - shift."""
    total_shift = 31 - shift
    return (x * multiplier + (1 << (total_shift - 1))) >> total_shift


def requantize_single(val: int, multiplier: int, shift: int) -> int:
    """arm_nn_requantize with CMSIS_NN_USE_SINGLE_ROUNDING: all but one bit cut off, then one added and the last one."""
    total_shift = 31 - shift
    result = (val * multiplier) >> (total_shift - 1)
    return (result + 1) >> 1


def rndnu(value: int, multiplier: int, shift: int) -> int:
    """xnn_qs8_requantize_rndnu: the float32's 24 bits as multiplier, rounding added, an arithmetic shift."""
    significand, by = multiplier >> 7, 30 + 1 - shift - 7
    assert significand << 7 == multiplier
    assert 1 << 23 <= significand < 1 << 24
    return (value * significand + (1 << (by - 1))) >> by


def q7(sum_: int, out_shift: int, nn_round: bool) -> int:
    """arm_fully_connected_q7: NN_ROUND(out_shift) in the accumulator, which begins with the bias; then the shift."""
    return (sum_ + (((1 << out_shift) >> 1) if nn_round else 0)) >> out_shift


BY_HAND: dict[str, Callable[[int, int, int], int]] = {
    "tflite_single": lambda x, multiplier, shift: single_rounding(x, multiplier, 1 - shift),
    "cmsis_nn_single": lambda x, multiplier, shift: requantize_single(x, multiplier, 1 - shift),
    "xnnpack_rndnu": lambda x, multiplier, shift: rndnu(x, multiplier, 1 - shift),
    "cmsis_nn_q7": lambda x, _multiplier, shift: q7(x, shift, nn_round=True),
    "cmsis_nn_q7_truncate": lambda x, _multiplier, shift: q7(x, shift, nn_round=False),
}
"""Statements of public sources, of a sum with its bias, a multiplier of 31 bits and the shift that it leaves."""


@pytest.mark.parametrize("name", BY_HAND)
def test_a_contract_is_what_its_source_states(name: str) -> None:
    """Ties, both signs, large sums, factors that are no powers of two; averages as the sources divide them."""
    named, rng = contract(name), np.random.default_rng(11)
    multipliers = (ONE, 1518500224, 2147483520) if named.multiplies else (ONE,)
    for multiplier in multipliers:
        for shift in (1, 2, 5, 9, 20):
            acc = rng.integers(-(1 << 30), 1 << 30, 400)
            acc[:200] = (rng.integers(-200, 200, 200) << shift) + (1 << shift - 1) + rng.integers(-1, 2, 200)
            for bias in (0, -7):
                before = bias << shift if multiplier == ONE else bias
                stated = [min(max(BY_HAND[name](int(v) + before, multiplier, shift), -128), 127) for v in acc]
                assert named.requantise(acc, shift, bias, INT8, multiplier).tolist() == stated, (multiplier, shift)
    total = np.arange(-300, 301)
    away = [c_divided(int(v) + (4 if v > 0 else -4), 8) for v in total]
    cut_off = [c_divided(int(v), 8) for v in total]
    assert cut(total, 3, named.mean).tolist() == (cut_off if "q7" in name else away)


def test_onnx_runtime_agrees() -> None:
    """QLinearConv with biases, over sums of more bits than float32 has, and a factor that is no power of two."""
    import onnx
    import onnxruntime

    rng = np.random.default_rng(5)
    for shift, multiplier in ((3, ONE), (7, ONE), (20, ONE), (5, 1518500224)):
        bias = rng.integers(-(200 << shift), 200 << shift, 2048)
        bias[:512] = (rng.integers(-140, 140, 512) << shift) + (1 << shift - 1) + rng.integers(-1, 2, 512)
        one = np.float32
        values = {
            "x_scale": one(1), "zero": np.int8(0), "w": np.zeros((2048, 1, 1, 1), np.int8), "w_scale": one(1),
            "y_scale": one(2.0**shift * ONE / multiplier), "bias": bias.astype(np.int32),
        }  # fmt: skip
        names = ["x", "x_scale", "zero", "w", "w_scale", "zero", "y_scale", "zero", "bias"]
        graph = onnx.helper.make_graph(
            [onnx.helper.make_node("QLinearConv", names, ["y"])], "conv",
            [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.INT8, [1, 1, 1, 1])],
            [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.INT8, [1, 2048, 1, 1])],
            [onnx.numpy_helper.from_array(np.asarray(v), k) for k, v in values.items()],
        )  # fmt: skip
        model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=8)
        session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        (y,) = session.run(None, {"x": np.zeros((1, 1, 1, 1), np.int8)})
        # The scale is what float32 makes of one over y_scale.
        factor = Fraction(float(one(1) / values["y_scale"]))
        exact = int(factor * 2 ** (30 + shift))
        made = contract("onnx_qlinear").requantise(bias, shift, 0, INT8, exact)
        assert np.array_equal(made, y.ravel()), shift


def test_pytorch_agrees() -> None:
    """Fake quantisation of sums that a float32 holds."""
    import torch

    rng = np.random.default_rng(6)
    for shift in (0, 4, 9, 14):
        acc = rng.integers(max(-(1 << 24), -(200 << shift)), min((1 << 24) - 1, 200 << shift), 4000)
        acc[:2000] = (rng.integers(-140, 140, 2000) << shift) + (1 << shift >> 1)
        real = torch.from_numpy(acc).to(torch.float32) * 2.0**-shift
        y = torch.fake_quantize_per_tensor_affine(real, 1.0, 0, -128, 127).to(torch.int64).numpy()
        assert np.array_equal(contract("pytorch_fake_quant").requantise(acc, shift, 0, INT8), y)


# --- stated again, in plain integers ---------------------------------------------------------------------------------


def toward_zero(a: int, b: int) -> int:
    """C's division."""
    return abs(a) // b * (1 if a >= 0 else -1)


def high_mul(a: int, b: int) -> int:
    """SaturatingRoundingDoublingHighMul, as gemmlowp writes it."""
    product = a * b
    return toward_zero(product + ((1 << 30) if product >= 0 else 1 - (1 << 30)), 1 << 31)


def divide_by_pot(x: int, exponent: int) -> int:
    """RoundingDivideByPOT, as gemmlowp writes it."""
    mask = (1 << exponent) - 1
    threshold = (mask >> 1) + (x < 0)
    return (x >> exponent) + ((x & mask) > threshold)


def double(acc: int, shift: int, multiplier: int) -> int:
    """MultiplyByQuantizedMultiplier, with double rounding."""
    lite = 1 - shift
    return divide_by_pot(high_mul(acc << max(lite, 0), multiplier), max(-lite, 0))


def single(acc: int, shift: int, multiplier: int) -> int:
    """MultiplyByQuantizedMultiplier, with single rounding; xnn_qs8_requantize_rndnu."""
    total = 31 - (1 - shift)
    return (acc * multiplier + (1 << total - 1)) >> total


def single_up(value: Fraction) -> int:
    """Half up."""
    return floor(value + Fraction(1, 2))


def fraction(round_: Callable[[Fraction], int]) -> Callable[[int, int, int], int]:
    """A rounding of the exact quotient."""
    return lambda acc, shift, multiplier: round_(Fraction(acc * multiplier, 1 << 30 + shift))


def in_float32(acc: int, shift: int, multiplier: int) -> int:
    """Products of numpy's float32."""
    return round(Fraction(float(np.float32(acc) * np.float32(multiplier / 2.0 ** (30 + shift)))))


PLAIN: dict[str, Callable[[int, int, int], int]] = {
    "fxsim": fraction(single_up),
    "tflite_reference": double,
    "gemmlowp": double,
    "cmsis_nn": double,
    "tflite_single": single,
    "cmsis_nn_single": single,
    "xnnpack_rndnu": single,
    "cmsis_nn_q7": lambda acc, shift, _: (acc + (1 << shift >> 1)) >> shift,
    "cmsis_nn_q7_truncate": lambda acc, shift, _: acc >> shift,
    "litert_reference": fraction(lambda v: int(abs(v) + Fraction(1, 2)) * (1 if v >= 0 else -1)),
    "litert_optimized": lambda a, s, m: single(high_mul(a << (s == 0), m), max(s - 1, 0) , ONE),
    "onnx_qlinear": in_float32,
    "xnnpack_fp32": in_float32,
    "pytorch_fake_quant": in_float32,
    "finn_thresholds": fraction(single_up),
}  # fmt: skip


@pytest.mark.parametrize("name", PLAIN)
def test_a_contract_is_its_source_in_plain_integers(name: str) -> None:
    """Random sums, ties and their neighbours, with every shift, and factors where it takes them."""
    rng, named = np.random.default_rng(7), contract(name)
    for shift in (0, 1, 2, 3, 8, 15, 23):
        for multiplier in (ONE, 1518500250, 2 * ONE - 1) if named.multiplies else (ONE,):
            most = min(300 << shift, (1 << named.sum_bits - 1) - 1, (1 << 30) - 1)
            acc = rng.integers(-most, most, 150)
            acc = np.concatenate([acc, (acc >> shift << shift) + (1 << shift >> 1) + rng.integers(-1, 2, 150)])
            acc = np.clip(acc, -most, most)
            made = named.unlimited(acc, shift, 0, multiplier)
            assert made.tolist() == [PLAIN[name](int(a), shift, multiplier) for a in acc], (shift, multiplier)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("fxsim", -1 + 3), ("tflite_reference", 2), ("litert_reference", 2), ("onnx_qlinear", 2), ("tflite_single", 2),
        ("cmsis_nn_q7_truncate", 1), ("ap_rnd_inf_sat", 2), ("ap_rnd_inf_sat_bias_after", -2 + 3),
        ("ap_rnd_conv_wrap", 2), ("ap_rnd_conv_wrap_bias_after", -2 + 3), ("ap_rnd_zero_sat", 1),
        ("ap_rnd_zero_sat_bias_after", -1 + 3), ("ap_trn_zero_sat", 1), ("ap_trn_zero_sat_bias_after", -1 + 3),
    ],
)  # fmt: skip
def test_the_bias_is_added_where_it_is_said(name: str, expected: int) -> None:
    """-12 / 8 = -1.5 and then 3, or (-12 + 3 * 8) / 8 = 1.5."""
    assert contract(name).requantise(np.array([-12]), 3, 3, INT8).tolist() == [expected]


@pytest.mark.parametrize("name", CONTRACTS)
def test_a_contract_keeps_order(name: str) -> None:
    """A greater sum never gives less, before the format limits it: what proofs rest on."""
    named = contract(name)
    top = 1 << named.sum_bits - 3
    for shift in (0, 1, 4, 7):
        for start in (-2000, min(1 << 24, top) - 2000, -min(1 << 24, top) - 2000 if named.sum_bits > 25 else 0):
            for multiplier in (ONE, 1234567890) if named.multiplies else (ONE,):
                made = named.unlimited(np.arange(start, start + 4000), shift, 3 * named.multiplies, multiplier)
                assert (np.diff(made) >= 0).all()


@pytest.mark.parametrize(
    ("overflow", "number", "expected"),
    [
        (Overflow.SATURATE, Number(3), [-4, -4, -4, 0, 3, 3, 3]),
        (Overflow.SYMMETRIC, Number(3), [-3, -3, -3, 0, 3, 3, 3]),
        (Overflow.ZERO, Number(3), [0, 0, -4, 0, 3, 0, 0]),
        (Overflow.WRAP, Number(3), [-1, 3, -4, 0, 3, -4, 0]),
        (Overflow.SYMMETRIC, Number(3, Sign.UNSIGNED), [0, 0, 0, 0, 3, 4, 7]),
        (Overflow.WRAP, Number(3, Sign.UNSIGNED), [7, 3, 4, 0, 3, 4, 0]),
    ],
)
def test_overflow(overflow: Overflow, number: Number, expected: list[int]) -> None:
    """What becomes of results that the format does not hold."""
    named = Contract("x", contract("fxsim").rounding, "", "", overflow=overflow)
    assert named.limited(np.array([-9, -5, -4, 0, 3, 4, 8]), number).tolist() == expected


@pytest.mark.parametrize(
    ("name", "given", "words"),
    [
        ("tflite", None, "no contract is named 'tflite', expected one of: fxsim, tflite_reference"),
        ("tflite_reference", (0, 1 << 31, 4, 0), "sums, their bias included, of 32 bits, not 2147483648"),
        ("tflite_reference", (0, 0, 24, 128), "of 32 bits, not 2147483648"),
        ("tflite_reference", (0, 1 << 30, 0, 0), "of 31 bits, not 1073741824"),
        ("tflite_reference", (0, 0, 32, 0), "shifts of 0 to 31, not 32"),
        ("pytorch_fake_quant", (-(1 << 24) - 1, 0, 4, 0), "of 25 bits"),
        ("fxsim", (0, 0, 4, 0, ONE + 1), "powers of two"),
        ("onnx_qlinear", (0, 0, 4, 0, ONE - 1), "multiplier is 1073741823"),
    ],
)
def test_what_a_contract_does_not_take_is_refused(name: str, given: tuple[int, ...] | None, words: str) -> None:
    """By name, with what it takes."""
    with pytest.raises(ModelError, match=words):
        contract(name).check(*(given or ()))
