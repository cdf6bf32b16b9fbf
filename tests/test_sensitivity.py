"""The sweep of rules: every outcome is that of a network computed by formulas that share nothing with it."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from fxsim.cli.sensitivity import command
from fxsim.contract import TableRule
from fxsim.contract.arithmetic import Int64, Integers
from fxsim.errors import ComparisonError, FxsimError, ModelError, StimulusError
from fxsim.explain.inject.faulty import faulty
from fxsim.explain.rules import Rounding, Rule, requantised
from fxsim.explain.sensitivity import Outcome, Sensitivity, sensitivity, sweep
from fxsim.explain.sensitivity.alternatives import alternatives
from fxsim.explain.sensitivity.kernel import requantised_fast
from fxsim.formats import load, save
from fxsim.graph import INPUT, Graph, Model, Node
from fxsim.operators import Affine, Linear, Lut, Pool
from fxsim.paths import golden_dir

SEED = 20261130
COUNT = 23
LINEAR, MIXER, TABLE, ADD = (
    "blocks.0.mlp.linear_1", "blocks.1.token_mixer.linear", "blocks.0.mlp.psa_1", "blocks.0.mlp.add",
)  # fmt: skip


@pytest.fixture(scope="module")
def model() -> Model:
    """The small golden model."""
    return load(golden_dir() / "small.safetensors")


@pytest.fixture(scope="module")
def given(model: Model) -> tuple[Integers, Integers]:
    """Random images with random labels."""
    rng = np.random.default_rng(SEED)
    images = rng.integers(-128, 128, (COUNT, *model.graph.input_shape)).astype(np.int8)
    return images, rng.integers(0, model.graph.shapes[model.graph.output][0], COUNT)


def by_formulas(model: Model, x: Integers, options: dict[str, dict[str, Any]]) -> Int64:
    """The outputs of a model some nodes of which are computed otherwise."""
    rng = np.random.default_rng(0)
    values = {INPUT: x.astype(np.int64)}
    for node in model.graph.nodes:
        values[node.name] = faulty(node, [values[name] for name in node.inputs], options.get(node.name, {}), rng)
    return values[model.graph.output]


def outcome(contract: Int64, came: Int64, labels: Integers) -> Outcome:
    """The outcome, counted anew."""
    right = int((came.argmax(1) == labels).sum())
    return Outcome(
        top1_changed=int((came.argmax(1) != contract.argmax(1)).sum()),
        largest=int(abs(came - contract).max()),
        mean=float(abs(came - contract).mean()),
        right=right,
        lost=(int((contract.argmax(1) == labels).sum()) - right) / len(labels),
    )


CASES: list[tuple[str, dict[str, Any], tuple[str, ...], dict[str, Any]]] = [
    ("rounding_floor", {}, ("embed", LINEAR, TABLE, MIXER, "pool", "classifier"), {"rounding": "floor"}),
    ("rounding_half_even", {}, (LINEAR, MIXER), {"rounding": "half_even"}),
    ("accumulator_width", {"bits": 12}, (LINEAR, MIXER, "classifier"), {"acc_bits": 12}),
    ("shift_minus_one", {}, ("embed", MIXER), {"shift_by": -1}),
    ("bias_in_accumulator", {}, ("embed", MIXER, "classifier"), {"bias": "accumulator"}),
    ("saturation_wrap", {}, ("embed", "blocks.0.token_mixer.affine_1"), {"wrap": True}),
    ("weights_unsigned", {}, (LINEAR, "blocks.0.mlp.res_affine"), {"weights": "unsigned"}),
    ("lut_overrun", {}, (TABLE, "blocks.1.mlp.psa_2"), {"edge": "overrun"}),
    ("lut_no_interpolation", {}, (TABLE, "blocks.1.mlp.psa_2"), {"interpolate": False}),
    ("add_unsaturated_wrap", {}, (ADD, "blocks.1.mlp.add"), {"wrap": True}),
    ("residual_dropped", {"input": "second"}, (ADD, "blocks.1.mlp.add"), {"kept": "first"}),
]


@pytest.mark.slow
@pytest.mark.parametrize(("label", "parameters", "nodes", "options"), CASES, ids=[case[0] for case in CASES])
def test_outcomes_are_those_of_other_formulas(
    model: Model,
    given: tuple[Integers, Integers],
    monkeypatch: pytest.MonkeyPatch,
    label: str,
    parameters: dict[str, Any],
    nodes: tuple[str, ...],
    options: dict[str, Any],
) -> None:
    """A change at one node alone, at all, and at all but one, in several chunks of images."""
    monkeypatch.setattr(sweep, "_TOGETHER_MAX", 10)
    x, labels = given
    seen: list[tuple[int, int]] = []
    found = sensitivity(model, x, labels, nodes=nodes, rules=[label], progress=lambda *at: seen.append(at))
    contract = by_formulas(model, x, {})
    every = outcome(contract, by_formulas(model, x, dict.fromkeys(nodes, options)), labels)
    assert every.mean > 0
    (whole,) = (change for change in found.everywhere if change.parameters == parameters)
    assert (whole.label, set(whole.nodes), whole.outcome) == (label, set(nodes), every)
    effects = {effect.node: effect for effect in found.effects if effect.parameters == parameters}
    assert effects.keys() == set(nodes)
    for node, effect in effects.items():
        others = {other: options for other in nodes if other != node}
        but = outcome(contract, by_formulas(model, x, others), labels)
        assert effect.only == outcome(contract, by_formulas(model, x, {node: options}), labels)
        assert effect.but == but
        assert every.lost is not None
        assert effect.recovered == every.lost - (but.lost or 0.0)
        assert effect.left_out == ""
    assert seen[-1][0] == seen[-1][1] == len(seen)


def with_op(model: Model, name: str, op: Any) -> Model:
    """The model with another operator at a node."""
    nodes = tuple(Node(n.name, op if n.name == name else n.op, n.inputs) for n in model.graph.nodes)
    return Model(Graph(model.graph.input, nodes), model.name)


def test_sizes_and_widths_are_those_of_other_models(model: Model, given: tuple[Integers, Integers]) -> None:
    """Fewer points, fewer bits of weights and of results, worked out one number at a time."""
    x, labels = given
    contract = by_formulas(model, x, {})
    rules = ["lut_resampled", "weight_bits", "activation_bits"]
    found = sensitivity(model, x, labels, nodes=[TABLE, MIXER, "classifier"], rules=rules)
    effects = {(e.node, e.label, *e.parameters.values()): e.only for e in found.effects}

    def coarse(value: int, bits: int) -> int:
        step = 2 ** (8 - bits)
        return min((value + step // 2) // step * step, 128 - step)

    ops = {name: model.graph.by_name[name].op for name in (TABLE, MIXER)}
    table, mixer = ops[TABLE], ops[MIXER]
    assert isinstance(table, Lut)
    assert isinstance(mixer, Linear)
    assert (table.points, table.rule) == (16, TableRule.CLAMP)
    for points in (4, 8):
        fewer = Lut(table.table[:, :: 16 // points], TableRule.CLAMP)
        expected = outcome(contract, by_formulas(with_op(model, TABLE, fewer), x, {}), labels)
        assert effects[TABLE, "lut_resampled", points, "clamp"] == expected
    for bits in range(2, 8):
        weight = np.array([[coarse(int(w), bits) for w in row] for row in mixer.weight], np.int8)
        other = Linear(weight, mixer.bias, mixer.shift, mixer.over, mixer.acc_bits)
        expected = outcome(contract, by_formulas(with_op(model, MIXER, other), x, {}), labels)
        assert effects[MIXER, "weight_bits", bits] == expected
        last = np.array([[coarse(int(v), bits) for v in row] for row in contract])
        assert effects["classifier", "activation_bits", bits] == outcome(contract, last, labels)
    assert len(effects) == 2 + 2 * 6 + 3 * 6


def test_ranges_are_counted(model: Model, given: tuple[Integers, Integers], monkeypatch: pytest.MonkeyPatch) -> None:
    """Least, greatest and both ends of every tensor, over chunks; without labels nothing is right or lost."""
    monkeypatch.setattr(sweep, "_TOGETHER_MAX", 7)
    x, _ = given
    found = sensitivity(model, x, nodes=["classifier"], rules=["bias_dropped"])
    values = {INPUT: x.astype(np.int64)}
    for node in model.graph.nodes:
        values[node.name] = faulty(
            node, [values[name] for name in node.inputs], {}, np.random.default_rng(0)
        )  # fmt: skip
    assert [tap.tap for tap in found.taps] == list(values)
    for tap in found.taps:
        array = values[tap.tap]
        ends = (int((array == -128).sum()), int((array == 127).sum()))
        assert (tap.number, tap.values, tap.least, tap.greatest) == ("int8", array.size, array.min(), array.max())
        assert (tap.at_low, tap.at_high) == ends
    (effect,) = found.effects
    assert effect.only is not None
    assert (found.right, effect.only.right, effect.only.lost, effect.recovered) == (None, None, None, None)


def test_the_worst_comes_first(model: Model, given: tuple[Integers, Integers]) -> None:
    """Effects are ranked by accuracy, then answers, then the mean; what cannot be computed is last, with the reason."""
    x, labels = given
    found = sensitivity(model, x, labels, nodes=[MIXER, TABLE])
    ranks = [(-(e.only.lost or 0), -e.only.top1_changed, -e.only.mean) for e in found.effects if e.only is not None]
    assert ranks == sorted(ranks)
    assert len(set(ranks)) > 20
    reasons = {(e.label, e.left_out) for e in found.effects if e.only is None}
    assert ("saturation_unsigned", "results of 0 to 255 are none of int8") in reasons
    assert all(e.only is not None for e in found.effects[: len(ranks)])


def test_a_rule_whose_results_a_tensor_does_not_hold_is_named() -> None:
    """An average shifted by one less leaves int8: it is not computed, and no wrapped value goes on."""
    linear = Linear(np.array([[1, 0], [0, 1]], np.int8), np.zeros(2, np.int8), np.array([3, 2], np.uint8))
    model = Model(Graph((2, 2), (Node("pool", Pool(2), (INPUT,)), Node("classifier", linear, ("pool",)))), "two")
    x = np.array([[[90, 1], [100, 2]]], np.int8)
    found = sensitivity(model, x, rules=["shift_minus_one"])
    effects = {effect.node: effect for effect in found.effects}
    assert effects["pool"].only is None
    assert effects["pool"].left_out == "pool: the rule makes 3 to 190, which int8 does not hold"
    # 95 / 4 and 2 / 2, of 95 / 8 and 2 / 4.
    assert effects["classifier"].only == Outcome(top1_changed=0, largest=12, mean=6.0)
    (whole,) = found.everywhere
    assert (whole.nodes, whole.outcome, whole.left_out) == (("pool", "classifier"), None, effects["pool"].left_out)
    assert (effects["classifier"].but, effects["classifier"].left_out) == (None, whole.left_out)


@pytest.mark.parametrize("rounding", list(Rounding))
def test_compiled_rules_are_the_plain_ones(rounding: Rounding) -> None:
    """Sums of up to 40 bits with shifts of up to 80, under every combination of the other fields."""
    rng = np.random.default_rng([SEED, len(rounding)])
    rows = 12
    shift = rng.integers(0, 20, rows).astype(np.uint8)
    shift[:2] = 0, 80
    bias = rng.integers(-128, 128, rows).astype(np.int8)
    op = Affine(rng.integers(-128, 128, rows).astype(np.int8), bias, shift)
    acc = rng.integers(-(1 << 20), 1 << 20, (300, rows))
    acc[:40] <<= 19
    acc[40:80] = rng.integers(-4, 5, (40, rows)) << np.maximum(shift.astype(np.int64), 1).clip(max=19) - 1
    fields: list[dict[str, Any]] = [
        {}, {"first_cut": 3}, {"bias": "none"}, {"bias": "accumulator"}, {"bias": "before"}, {"logical": True},
        {"acc_bits": 12}, {"acc_bits": 32}, {"acc_bits": 34}, {"overflow": "wrap"}, {"limits": (-127, 127)},
        {"relu": "before bias"}, {"shift": shift.astype(np.int64) + 1}, {"biases": bias.astype(np.int64) - 3},
        {"relu": "before bias", "overflow": "wrap", "first_cut": 2, "acc_bits": 15},
    ]  # fmt: skip
    for own in fields:
        rule = Rule(rounding=rounding, **own)
        assert np.array_equal(requantised_fast(op, acc.astype(np.float64), rule), requantised(op, acc, rule)), own


def test_a_fault_in_the_compiled_rules_would_be_seen(
    model: Model, given: tuple[Integers, Integers], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The comparison with other formulas fails where nodes are computed by another rounding."""
    from fxsim.explain.sensitivity import nodes

    def wrong(op: Any, acc: Any, rule: Rule) -> Any:
        return requantised(op, acc.astype(np.int64), Rule(rounding=Rounding.CEILING, shift=rule.shift))

    monkeypatch.setattr(nodes, "requantised_fast", wrong)
    x, labels = given
    found = sensitivity(model, x, labels, nodes=[MIXER], rules=["rounding_floor"])
    expected = outcome(by_formulas(model, x, {}), by_formulas(model, x, {MIXER: {"rounding": "floor"}}), labels)
    assert found.effects[0].only != expected


def test_every_operator_has_changes(given: tuple[Integers, Integers]) -> None:
    """No node of the golden models is without any; what is about order or one trace is no rule."""
    from fxsim.engines import run

    for name in ("small", "small_relu"):
        other = load(golden_dir() / f"{name}.safetensors")
        x = given[0][:1]
        found = alternatives(other, run(other, x, "all") | {INPUT: x})
        labels = {change.label for change in found}
        assert {node for change in found for node in change.changes} == set(other.graph.taps)
        assert not [label for label in labels if label.endswith(("_shifted", "_reversed", "_swapped", "_corrupted"))]
        assert all(change.group != "other" for change in found)
        assert {"rounding_floor", "accumulator_width", "activation_bits", "weight_bits"} <= labels


def test_what_does_not_fit_is_refused(model: Model, given: tuple[Integers, Integers]) -> None:
    """Unknown nodes and rules, no images, labels of another length."""
    x, labels = given
    cases: list[tuple[type[FxsimError], str, dict[str, Any]]] = [
        (ModelError, "has no node 'fc9', expected: blocks", {"nodes": ["fc9"]}),
        (ModelError, "has the rule 'rounding'; there are: .*rounding_floor", {"rules": ["rounding"]}),
        (
            ModelError,
            "none of the nodes embed has any of the rules lut_overrun",
            {"nodes": ["embed"], "rules": ["lut_overrun"]},
        ),
        (StimulusError, r"labels are int64 \(22,\), expected whole numbers \(23,\)", {"labels": labels[1:]}),
        (StimulusError, "there are no images to sweep", {"x": x[:0], "labels": labels[:0]}),
    ]
    for kind, words, other in cases:
        with pytest.raises(kind, match=words):
            sensitivity(model, **({"x": x, "labels": labels} | other))
    assert not issubclass(ModelError, ComparisonError)


@pytest.mark.slow
def test_the_command(model: Model, given: tuple[Integers, Integers], tmp_path: Path) -> None:
    """Table, JSON and a page that needs nothing else; names of a model are text there."""
    x, labels = given
    named = Model(model.graph, "<script>alert(1)</script>")
    save(named, tmp_path / "m.safetensors")
    np.savez(tmp_path / "x.npz", input=x, labels=labels)
    arguments = [str(tmp_path / "m.safetensors"), "--input", str(tmp_path / "x.npz"), "--nodes", f"{MIXER},{TABLE}"]
    page = tmp_path / "page.html"
    rules = "rounding_floor,activation_bits,lut_resampled"
    result = CliRunner().invoke(command, [*arguments, "--rules", rules, "--images", "9", "--page", str(page), "--json"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    again = sensitivity(named, x[:9], labels[:9], nodes=[MIXER, TABLE], rules=rules.split(","))
    assert isinstance(again, Sensitivity)
    assert found["images"] == 9
    assert [e["only"]["mean"] for e in found["effects"]] == [e.only.mean for e in again.effects if e.only]
    text = page.read_text(encoding="utf-8")
    assert "<script" not in text
    assert "&lt;script&gt;alert(1)" in text
    assert text.count("<svg") == 2
    assert not re.search(r'(?:src|href)="(?!#|data:)', text)
    shown = CliRunner().invoke(command, [*arguments, "--rules", "rounding_floor", "--top", "1"])
    assert "worst first" in shown.stdout
    assert "1 do less" in shown.stdout
    assert "ranges by the contract" in shown.stdout


def test_the_command_takes_a_data_set() -> None:
    """The digits of the small trained model: what it loses is of the labels, and the contract's count is `eval`'s."""
    model = str(golden_dir() / "digits_small.safetensors")
    arguments = [model, "--data", "digits", "--rules", "relu_before_bias", "--nodes", "classifier", "--json"]
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert (found["images"], found["right"]) == (445, 432)
    (effect,) = found["effects"]
    assert effect["only"]["lost"] == (432 - effect["only"]["right"]) / 445


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ([], "expected either --data or --input"),
        (["--data", "digits", "--input", "x.npy"], "expected either --data or --input"),
        (["--input", "x.npy", "--data-path", "."], "--data-path is the folder of --data"),
        (["--data", "digits", "--nodes", ","], "names nothing"),
    ],
)
def test_the_command_refuses(more: list[str], words: str) -> None:
    """Images of both kinds, or none."""
    result = CliRunner().invoke(command, [str(golden_dir() / "small.safetensors"), *more])
    assert result.exit_code == 2
    assert words in result.output
