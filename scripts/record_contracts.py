"""Record what other implementations requantise to, for tests/test_contracts.py: scripts/record_contracts.py OUT.npz.

It needs, beside this project's environment, what no test does: ai-edge-litert 2.3.0, tflite-micro, ethos-u-vela 5.2.0,
executorch 1.5.1, qonnx 1.0.0, and the ap_types headers inside hls4ml 1.3.0, with a C++ compiler. It
shares no code with fxsim. Accumulators are what it gives; what they should become is theirs.
"""

import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

SHIFTS = (0, 1, 2, 5, 20)
"""At 20, sums have more bits than a float32."""
MULTIPLIERS = (1 << 30, 1518500224)
"""Factors' mantissas times 2^30: floats of 24 bits."""
ROUNDINGS = ("TRN", "TRN_ZERO", "RND", "RND_ZERO", "RND_INF", "RND_MIN_INF", "RND_CONV")
OVERFLOWS = ("WRAP", "SAT", "SAT_SYM", "SAT_ZERO")


def accumulators(shift: int) -> np.ndarray:
    """Values around ties and ends of int8, and random ones, within what a shift brings to +-300."""
    rng = np.random.default_rng(shift)
    half = (np.arange(-135, 136) << shift) + (1 << shift >> 1)
    near = half[rng.permutation(len(half))[:120]][:, None] + np.array([-1, 0, 1])
    spread = rng.integers(-(300 << shift), 300 << shift, 60)
    return np.unique(np.concatenate([near.ravel(), spread, np.arange(-8, 9)]))


# --- TensorFlow Lite's descendants -----------------------------------------------------------------------------------


def flat_model(kind: str, inputs: tuple[int, ...], outputs: tuple[int, ...], scale: float, bias: Any = None) -> bytes:
    """A model of one operator: a fully connected whose accumulators are its bias, or an average over a row."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as s

    model = s.ModelT()
    model.version, model.buffers = 3, [s.BufferT()]

    def tensor(shape: tuple[int, ...], number: int, step: float, values: Any = None) -> Any:
        made, quantisation = s.TensorT(), s.QuantizationParametersT()
        made.shape, made.type, made.buffer, made.name = list(shape), number, 0, b"t"
        if values is not None:
            content = s.BufferT()
            content.data = np.frombuffer(values.tobytes(), np.uint8)
            model.buffers.append(content)
            made.buffer = len(model.buffers) - 1
        quantisation.scale, quantisation.zeroPoint = [step], [0]
        made.quantization = quantisation
        return made

    graph, operator, code = s.SubGraphT(), s.OperatorT(), s.OperatorCodeT()
    int8 = s.TensorType.INT8
    graph.tensors = [tensor(inputs, int8, 1.0), tensor(outputs, int8, 1.0)]
    operator.inputs = [0]
    if kind == "FULLY_CONNECTED":
        zero = np.zeros((outputs[1], inputs[1]), np.int8)
        graph.tensors += [tensor(zero.shape, int8, scale, zero), tensor(bias.shape, s.TensorType.INT32, scale, bias)]
        operator.inputs = [0, 2, 3]
        operator.builtinOptionsType = s.BuiltinOptions.FullyConnectedOptions
        operator.builtinOptions = s.FullyConnectedOptionsT()
    else:
        operator.builtinOptionsType = s.BuiltinOptions.Pool2DOptions
        operator.builtinOptions = options = s.Pool2DOptionsT()
        options.padding, options.strideW, options.strideH = s.Padding.VALID, inputs[2], 1
        options.filterWidth, options.filterHeight = inputs[2], 1
    graph.inputs, graph.outputs, operator.outputs, graph.operators = [0], [1], [1], [operator]
    code.builtinCode = code.deprecatedBuiltinCode = getattr(s.BuiltinOperator, kind)
    code.version = 4 if kind == "FULLY_CONNECTED" else 2
    model.subgraphs, model.operatorCodes = [graph], [code]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def lite(model: bytes, x: np.ndarray) -> dict[str, np.ndarray]:
    """Its results, int8, of four sets of kernels."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType
    from tflite_micro.python.tflite_micro import runtime

    results = {}
    for name, kernels in (
        ("litert_reference", OpResolverType.BUILTIN_REF),
        ("litert_optimized", OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES),
        ("litert_xnnpack", OpResolverType.BUILTIN),
    ):
        one = Interpreter(model_content=model, experimental_op_resolver_type=kernels, num_threads=1)
        one.allocate_tensors()
        one.set_tensor(one.get_input_details()[0]["index"], x)
        one.invoke()
        results[name] = one.get_tensor(one.get_output_details()[0]["index"])
    micro = runtime.Interpreter.from_bytes(model)
    micro.set_input(x, 0)
    micro.invoke()
    results["tflite_micro"] = micro.get_output(0)
    return results


# --- the others ------------------------------------------------------------------------------------------------------


def vela(acc: np.ndarray, multiplier: int, shift: int) -> np.ndarray:
    """The two steps of gemmlowp as Vela has them, clamped to int8."""
    from ethosu.vela.fp_math import rounding_divide_by_pot, saturating_rounding_mul32

    left = int(shift == 0)
    high = [saturating_rounding_mul32(int(a) << left, multiplier) for a in acc]
    made: np.ndarray = np.clip([rounding_divide_by_pot(int(h), max(shift - 1, 0)) for h in high], -128, 127)
    return made


def cmsis(acc: np.ndarray, multiplier: int, shift: int) -> np.ndarray:
    """arm_nn_requantize as ExecuTorch has it, clamped to int8."""
    import torch
    from executorch.backends.cortex_m.passes.passes_utils import requantize_cmsis

    made: np.ndarray = np.clip(requantize_cmsis(torch.from_numpy(acc), multiplier, 1 - shift).numpy(), -128, 127)
    return made


def thresholds(acc: np.ndarray, shift: int) -> np.ndarray:
    """FINN's thresholding of int8: step k is reached at (k - 1/2) 2^shift, rounded up to whole accumulators."""
    from qonnx.custom_op.general.multithreshold import multithreshold

    steps = np.ceil((np.arange(-127, 128) - 0.5) * 2.0**shift)
    made: np.ndarray = multithreshold(acc[:, None].astype(np.float64), steps[None], 1.0, -128.0)[:, 0]
    return made


def ap_fixed(cases: dict[int, np.ndarray]) -> dict[str, np.ndarray]:
    """Casts of ap_fixed by the headers, compiled; one shift after the other."""
    spec = find_spec("hls4ml")
    assert spec is not None
    assert spec.origin is not None
    headers = Path(spec.origin).parent / "templates" / "vivado" / "ap_types"
    modes = [(r, o, s) for r in ROUNDINGS for o in OVERFLOWS for s in cases]
    casts = "\n".join(
        f"case {i}: {{ ap_fixed<40, {40 - s}> v; v.range() = a; ap_fixed<8, 8, AP_{r}, AP_{o}> y = v;"
        " std::cout << y.to_int() << '\\n'; break; }"
        for i, (r, o, s) in enumerate(modes)
    )
    source = (
        "#include <iostream>\n#include <cstdlib>\n#include <ap_fixed.h>\n"
        "int main() { int mode; long long v0; while (std::cin >> mode >> v0) { ap_int<40> a = v0; switch (mode) {\n"
        f"{casts}\n}} }} }}\n"
    )
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "a.cpp").write_text(source)
        subprocess.run(["c++", "-w", "-O1", f"-I{headers}", "-o", f"{folder}/a", f"{folder}/a.cpp"], check=True)
        asked = "\n".join(f"{i} {a}" for i, (_, _, s) in enumerate(modes) for a in cases[s])
        said = subprocess.run([f"{folder}/a"], input=asked, text=True, capture_output=True, check=True).stdout
    values = np.array([int(v) for v in said.split()])
    return {
        f"ap_fixed/{r}/{o}": part
        for (r, o), part in zip(
            ((r, o) for r in ROUNDINGS for o in OVERFLOWS),
            np.split(values, len(ROUNDINGS) * len(OVERFLOWS)),
            strict=True,
        )
    }


def main(out: str) -> None:
    """Write everything."""
    recorded: dict[str, np.ndarray] = {}
    cases = {shift: accumulators(shift) for shift in SHIFTS}
    for shift, acc in cases.items():
        recorded[f"acc/{shift}"] = acc.astype(np.int32)
        for multiplier in MULTIPLIERS:
            key = f"{shift}/{multiplier}"
            model = flat_model(
                "FULLY_CONNECTED", (1, 4), (1, len(acc)), multiplier / 2.0 ** (30 + shift), acc.astype(np.int32)
            )
            for name, y in lite(model, np.zeros((1, 4), np.int8)).items():
                recorded[f"{name}/{key}"] = y[0]
            recorded[f"vela/{key}"] = vela(acc, multiplier, shift)
            recorded[f"executorch/{key}"] = cmsis(acc, multiplier, shift)
        recorded[f"qonnx/{shift}/{1 << 30}"] = thresholds(acc, shift)
    recorded |= ap_fixed(cases)
    x = np.random.default_rng(0).integers(-128, 128, (1, 64, 8, 1)).astype(np.int8)
    x[0, :24] = np.arange(-12, 12)[:, None, None] // np.arange(1, 9)[:, None]
    recorded["mean/x"] = x[0, :, :, 0]
    for name, y in lite(flat_model("AVERAGE_POOL_2D", x.shape, (1, 64, 1, 1), 1.0), x).items():
        recorded[f"mean/{name}"] = y.ravel()
    small = {k: v if k.startswith("acc/") else v.astype(np.int8) for k, v in recorded.items()}
    assert all(np.array_equal(small[k], recorded[k]) for k in small)
    np.savez_compressed(out, **small)  # type: ignore[arg-type]  # names with slashes


if __name__ == "__main__":
    main(*sys.argv[1:])
