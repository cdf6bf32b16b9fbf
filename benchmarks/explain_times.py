"""`python -m benchmarks explain --times`: CPU seconds of `fxsim diff` and `fxsim sensitivity` for a paper's network."""

import time
from typing import Any

import numpy as np

from fxsim.contract.arithmetic import Int64, Integers
from fxsim.engines import apply
from fxsim.explain import diff
from fxsim.explain.inject.faulty import Options, faulty
from fxsim.explain.sensitivity.sweep import sensitivity
from fxsim.formats import load
from fxsim.graph import INPUT, Model
from fxsim.paths import golden_dir

IMAGES = 8
LINEAR, TABLE = "blocks.1.mlp.linear_1", "blocks.1.mlp.psa_1"


def with_fault(model: Model, x: Integers, name: str, options: Options, seed: int) -> dict[str, Int64]:
    """A trace of every tap, in which one node is wrong and all behind it is computed from that."""
    values: dict[str, Int64] = {INPUT: x.astype(np.int64)}
    for node in model.graph.nodes:
        inputs = [values[given] for given in node.inputs]
        if node.name == name:
            values[name] = faulty(node, inputs, options, np.random.default_rng(seed))
            continue
        numbers = [model.graph.tensors[given].number for given in node.inputs]
        narrow = (v.astype(number.dtype) for v, number in zip(inputs, numbers, strict=True))
        values[node.name] = apply(node, *narrow).astype(np.int64)
    del values[INPUT]
    return values


def measure(seed: int) -> list[tuple[str, str, float]]:
    """Measurements, what came of each, and CPU seconds: one fault, two, such as no rule or pair makes; a sweep."""
    model = load(golden_dir() / "psa_h96.safetensors")
    x = np.random.default_rng(seed).integers(-128, 128, (IMAGES, *model.graph.input_shape)).astype(np.int8)
    op: Any = model.graph.by_name[LINEAR].op
    row = {3: int(op.shift[3]) + 2}
    diff(model, x[:1], with_fault(model, x[:1], LINEAR, {"rounding": "floor"}, seed))  # compiles, loads
    found = []
    faults: tuple[tuple[str, str, Options], ...] = (
        ("one fault", LINEAR, {"rounding": "floor"}),
        ("two faults of one operator, one fitted", LINEAR, {"rounding": "floor", "shift_of": row}),
        ("no rule: noise in a linear, all pairs", LINEAR, {"noise": 0.02}),
        ("no rule: noise in a table, all pairs", TABLE, {"noise": 0.02}),
    )
    for what, name, options in faults:
        trace = with_fault(model, x, name, options, seed)
        begun = time.process_time()
        said = diff(model, x, trace)
        labels = ", ".join(fault.label for fault in said.faults)
        found.append((f"{what}, {IMAGES} images", labels, time.process_time() - begun))
    begun = time.process_time()
    swept = sensitivity(model, x)
    found.append((f"sensitivity, {IMAGES} images", f"{len(swept.effects):,} changes", time.process_time() - begun))
    return found
