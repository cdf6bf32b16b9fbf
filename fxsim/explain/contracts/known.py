"""The named contracts: what other frameworks, libraries and languages compute."""

from fxsim.errors import ModelError
from fxsim.explain.contracts.arithmetic import Contract, Overflow
from fxsim.explain.rules import Rounding

_LITERT = "LiteRT 2.3.0, recorded"
_BY_HAND = "its source's statement, by hand, in the tests"
_AP_SOURCE = "Vitis HLS User Guide (UG1399), Arbitrary Precision Fixed-Point Data Types"
_AP_HELD = "ap_types headers, recorded"

_FRAMEWORKS = (
    Contract(
        "fxsim", Rounding.HALF_UP, "docs/arithmetic.md", "the reference engine",
        bias="after", sum_bits=60, shift_max=255, multiplies=False,
    ),
    Contract(
        "tflite_reference", Rounding.HALF_AWAY,
        "TensorFlow Lite, kernels/internal/common.h: MultiplyByQuantizedMultiplier, double rounding",
        "TensorFlow Lite for Microcontrollers of 2026-10-23, recorded", high_mul=True, mean=Rounding.HALF_AWAY,
    ),
    Contract(
        "tflite_single", Rounding.HALF_UP, "TensorFlow Lite, the same with TFLITE_SINGLE_ROUNDING", _BY_HAND,
        mean=Rounding.HALF_AWAY,
    ),
    Contract(
        "litert_reference", Rounding.HALF_AWAY, "LiteRT, BUILTIN_REF: as it computes", _LITERT,
        mean=Rounding.HALF_AWAY,
    ),
    Contract(
        "litert_optimized", Rounding.HALF_UP,
        "LiteRT, BUILTIN_WITHOUT_DEFAULT_DELEGATES on x86-64: as it computes", _LITERT,
        high_mul=True, mean=Rounding.HALF_AWAY,
    ),
    Contract(
        "gemmlowp", Rounding.HALF_AWAY,
        "gemmlowp, OutputStageQuantizeDownInt32ByFixedPoint: SaturatingRoundingDoublingHighMul, RoundingDivideByPOT",
        "Vela 5.2.0, recorded", high_mul=True,
    ),
    Contract(
        "cmsis_nn", Rounding.HALF_AWAY, "CMSIS-NN, arm_nnsupportfunctions.h: arm_nn_requantize",
        "ExecuTorch 1.5.1, recorded", high_mul=True, mean=Rounding.HALF_AWAY,
    ),
    Contract(
        "cmsis_nn_single", Rounding.HALF_UP, "CMSIS-NN, the same with CMSIS_NN_USE_SINGLE_ROUNDING", _BY_HAND,
        mean=Rounding.HALF_AWAY,
    ),
    Contract(
        "cmsis_nn_q7", Rounding.HALF_UP, "CMSIS-NN before 4.0, arm_fully_connected_q7: NN_ROUND, __SSAT", _BY_HAND,
        mean=Rounding.TOWARD_ZERO, multiplies=False,
    ),
    Contract(
        "cmsis_nn_q7_truncate", Rounding.FLOOR, "CMSIS-NN before 4.0, arm_fully_connected_q7 with ARM_NN_TRUNCATE",
        _BY_HAND,
        mean=Rounding.TOWARD_ZERO, multiplies=False,
    ),
    Contract(
        "onnx_qlinear", Rounding.HALF_EVEN,
        "ONNX, QLinearMatMul and QLinearConv: scaled in float32, half to even", "ONNX Runtime, in the tests",
        float32=True, mean=Rounding.HALF_EVEN,
    ),
    Contract(
        "xnnpack_fp32", Rounding.HALF_EVEN, "XNNPACK, xnn_qs8_requantize_fp32; averages are LiteRT's own",
        _LITERT, float32=True, mean=Rounding.HALF_AWAY,
    ),
    Contract(
        "xnnpack_rndnu", Rounding.HALF_UP,
        "XNNPACK, xnn_qs8_requantize_rndnu, of a factor that float32 holds; averages are LiteRT's", _BY_HAND,
        mean=Rounding.HALF_AWAY,
    ),
    Contract(
        "pytorch_fake_quant", Rounding.HALF_EVEN,
        "PyTorch, fake_quantize_per_tensor_affine: nearbyint of a float32, exact below 2^24",
        "PyTorch, in the tests",
        float32=True, mean=Rounding.HALF_EVEN, sum_bits=25,
    ),
    Contract(
        "finn_thresholds", Rounding.HALF_UP,
        "FINN, MultiThreshold: thresholds at half steps, reached when equal; averages by TruncAvgPool",
        "qonnx 1.0.0, recorded", mean=Rounding.FLOOR,
    ),
)  # fmt: skip

AP_ROUNDINGS = {
    "trn": Rounding.FLOOR,
    "trn_zero": Rounding.TOWARD_ZERO,
    "rnd": Rounding.HALF_UP,
    "rnd_zero": Rounding.HALF_TOWARD_ZERO,
    "rnd_inf": Rounding.HALF_AWAY,
    "rnd_min_inf": Rounding.HALF_DOWN,
    "rnd_conv": Rounding.HALF_EVEN,
}
"""From the quantisation modes of ap_fixed."""
AP_OVERFLOWS = {
    "wrap": Overflow.WRAP, "sat": Overflow.SATURATE, "sat_sym": Overflow.SYMMETRIC, "sat_zero": Overflow.ZERO,
}  # fmt: skip
"""From its overflow modes."""
_PLACE_MATTERS = ("trn_zero", "rnd_zero", "rnd_inf", "rnd_conv")
"""Modes whose result depends on the sign, or on whether it is even: there a bias before the division is another one."""


def _ap_fixed(mode: str, overflow: str, bias_after: bool) -> Contract:
    name = f"ap_{mode}_{overflow}{'_bias_after' if bias_after else ''}"
    return Contract(
        name, AP_ROUNDINGS[mode], _AP_SOURCE, _AP_HELD, overflow=AP_OVERFLOWS[overflow], mean=AP_ROUNDINGS[mode],
        bias="after" if bias_after else "before", sum_bits=60, shift_max=40, multiplies=not bias_after,
    )  # fmt: skip


CONTRACTS: dict[str, Contract] = {
    contract.name: contract
    for contract in (
        *_FRAMEWORKS,
        *(_ap_fixed(mode, overflow, False) for mode in AP_ROUNDINGS for overflow in AP_OVERFLOWS),
        *(_ap_fixed(mode, overflow, True) for mode in _PLACE_MATTERS for overflow in AP_OVERFLOWS),
    )
}
"""From a name: the contract."""


def contract(name: str) -> Contract:
    """The contract of a name; ModelError, with those there are, where there is none."""
    if name not in CONTRACTS:
        raise ModelError(f"no contract is named {name!r}, expected one of: {', '.join(CONTRACTS)}")
    return CONTRACTS[name]
