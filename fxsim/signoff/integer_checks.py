"""Checks of integer models and engines: golden files, vectors, accumulators, one engine against another."""

import itertools

import numpy as np

from fxsim.contract import TABLE_POINTS, TableRule, expand_table
from fxsim.contract.arithmetic import Int8
from fxsim.engines import run
from fxsim.errors import FxsimError
from fxsim.families import ResMLPConfig
from fxsim.golden import check_golden, read_manifest
from fxsim.graph import Model, Node, accumulator_bound
from fxsim.operators import Affine, Linear, Lut
from fxsim.signoff.context import Context, Outcome, compare_in_parts, random_model
from fxsim.signoff.plan import AccumulatorsCheck, EnginesCheck, GoldenCheck, RandomModelsCheck, VectorsCheck
from fxsim.signoff.record import Comparison, Curve, Details, Figure, TapValues, ValueStatistics
from fxsim.vectors import check_vectors, draw_stimulus

_CURVES_SHOWN = 6


def golden(check: GoldenCheck, context: Context, _seed: int) -> Outcome:
    """Hashes and statistics of a golden folder; its values and some of its tables' curves for the report."""
    directory = context.path(check.directory)
    manifest = read_manifest(directory)
    problems = check_golden(directory)
    values, curves = [], []
    for model in manifest.models:
        taps = tuple(TapValues(t.tap, t.min, t.max, t.std, t.saturated) for t in model.taps)
        values.append(ValueStatistics(model.name, model.images, taps))
    if not problems:
        from fxsim.formats import load

        for stated in manifest.models:
            curves += _curves(load(directory / stated.file))
    shifts = sorted({int(shift) for model in manifest.models for shift in model.shifts})
    saturated = max(tap.saturated for model in manifest.models for tap in model.taps)
    figures = (
        Figure("files by sha256", len(manifest.files)),
        Figure("models", len(manifest.models)),
        Figure("statistics measured again", sum(len(model.taps) for model in manifest.models), "taps"),
        Figure("shifts", f"{shifts[0]} to {shifts[-1]}"),
        Figure("most saturated tap", round(100 * saturated, 3), "%"),
        Figure("trained models", sum(model.training is not None for model in manifest.models)),
    )
    summary = f"{len(manifest.files)} files and {figures[2].value} taps' statistics are as the manifest states"
    return _outcome(summary, problems, Details(figures=figures, values=tuple(values), curves=tuple(curves)))


def _outcome(summary: str, problems: list[str], details: Details) -> Outcome:
    """The summary of what holds where there are no problems; otherwise how many there are, and the first of them."""
    if not problems:
        return Outcome(summary, None, details)
    return Outcome(f"{len(problems)} problem(s)", "; ".join(problems[:5]), details)


def _curves(model: Model) -> list[Curve]:
    """A few channels of each kind of table of a model's first block."""
    curves = []
    for node in model.graph.nodes:
        if not isinstance(node.op, Lut) or not node.name.startswith("blocks.0."):
            continue
        table, rule = node.op.table, node.op.rule
        every = expand_table(table, rule)
        step = 256 // node.op.points
        codes = tuple(min(step * i - 128, 127) for i in range(table.shape[1]))
        for channel in range(min(_CURVES_SHOWN, len(table))):
            points, function = tuple(table[channel].tolist()), tuple(every[channel].tolist())
            curves.append(Curve(model.name, node.name, channel, str(rule), codes, points, function))
    return curves


def vectors(check: VectorsCheck, context: Context, _seed: int) -> Outcome:
    """Every folder derived again."""
    results = [check_vectors(context.path(folder), engine=check.engine) for folder in check.directories]
    problems = [f"{result.directory}: {p.message}" for result in results for p in result.problems]
    files, values = sum(r.files for r in results), sum(r.values for r in results)
    figures = (
        Figure("folders", len(results)),
        Figure("files", files),
        Figure("values derived again", values),
        Figure("problems", len(problems)),
        Figure("engine", check.engine),
    )
    summary = f"{files} files in {len(results)} folders, {values:,} values derived again"
    return _outcome(summary, problems, Details(figures=figures))


def accumulators(check: AccumulatorsCheck, context: Context, _seed: int) -> Outcome:
    """The proven bounds against the stated widths, and against sums of inputs made to reach them."""
    figures, problems, layers = [], [], 0
    for name in check.models:
        bounds = []
        for node in context.model(name).graph.nodes:
            bound = accumulator_bound(context.model(name).graph, node.name)
            if bound is None:
                continue
            bounds.append(bound)
            # The stated width, and the sums that a worst-case input gives, in Python's unbounded integers.
            half = 1 << (bound.bits_stated - 1)
            for limit, sign in ((bound.low, -1), (bound.high, 1)):
                reached = _reach(node, bound.channel, sign)
                if reached != limit:
                    problems.append(f"{name}, {node.name}: the bound {limit} is stated, but an input gives {reached}")
                if not -half <= reached < half:
                    problems.append(f"{name}, {node.name}: {reached} does not fit {bound.bits_stated} bits")
        if not bounds:
            raise FxsimError(f"model '{name}' has no accumulators to check")
        layers += len(bounds)
        tightest = min(bounds, key=lambda b: b.bits_stated - b.bits_needed)
        linears = [b for b in bounds if isinstance(context.model(name).graph.by_name[b.node].op, Linear)]
        widest = max(linears, key=lambda b: b.bits_needed, default=tightest)
        where = f"{widest.node}, channel {widest.channel}"
        figures.append(Figure(f"{name}: widest linear", f"{widest.bits_needed} of {widest.bits_stated} bits ({where})"))
        spare = tightest.bits_stated - tightest.bits_needed
        figures.append(Figure(f"{name}: least spare bits", spare, f"({tightest.node})"))
    summary = f"{layers} accumulators of {len(check.models)} models cannot overflow"
    return _outcome(summary, problems, Details(figures=tuple(figures)))


def _reach(node: Node, channel: int, sign: int) -> int:
    """The largest (sign 1) or smallest (-1) accumulator of one channel, summed from the input that gives it."""
    op = node.op
    if isinstance(op, Linear | Affine):
        weights = [int(w) for w in np.atleast_1d(op.weight[channel])]
        return sum(w * (127 if w * sign > 0 else -128) for w in weights)
    terms = op.tokens if hasattr(op, "tokens") else 2
    return terms * (127 if sign > 0 else -128)


def engines(check: EnginesCheck, context: Context, seed: int) -> Outcome:
    """Two engines on each model and each of the stimuli that fit it, at all taps."""
    comparisons, firsts = [], []
    pairs = list(itertools.product(check.models, check.stimuli))
    for done, (model_name, stimulus_name) in enumerate(pairs):
        context.progress(done, len(pairs))
        model = context.model(model_name)
        x = context.stimulus(stimulus_name, model, seed)
        comparison, first = _compare_engines(f"{model_name} on {stimulus_name}", model, x, check.engines)
        comparisons.append(comparison)
        firsts += [first] if first else []
    values = sum(row.compared for comparison in comparisons for row in comparison.taps)
    wrong = sum(row.mismatches for comparison in comparisons for row in comparison.taps)
    figures = (Figure("values compared", values), Figure("values that differ", wrong))
    summary = f"{' = '.join(check.engines)}: {values:,} values at all taps, {wrong:,} differ"
    return Outcome(summary, "; ".join(firsts[:3]) or None, Details(figures=figures, comparisons=tuple(comparisons)))


def _compare_engines(title: str, model: Model, x: Int8, names: tuple[str, str]) -> tuple[Comparison, str | None]:
    expected, found = (lambda part, engine=engine: run(model, part, "all", engine=engine) for engine in names)
    return compare_in_parts(title, x, expected, found)


def random_models(check: RandomModelsCheck, context: Context, seed: int) -> Outcome:
    """Two engines on models whose every parameter is drawn, shifts up to 255 and extreme weights included."""
    rng = np.random.default_rng(seed)
    values, wrong, firsts = 0, 0, []
    seen = {"psa": 0, "relu": 0}
    for number in range(check.count):
        context.progress(number, check.count)
        model = _random_model(rng)
        seen["psa" if any(isinstance(node.op, Lut) for node in model.graph.nodes) else "relu"] += 1
        draw = "uniform" if number % 2 else "extreme"
        x = draw_stimulus(draw, check.images, model.graph.input_shape, int(rng.integers(2**31)))
        comparison, first = _compare_engines(f"random model {number}", model, x, check.engines)
        values += sum(row.compared for row in comparison.taps)
        wrong += sum(row.mismatches for row in comparison.taps)
        firsts += [first] if first else []
    figures = (
        Figure("models", f"{seen['psa']} PSA, {seen['relu']} ReLU"),
        Figure("values compared", values),
        Figure("values that differ", wrong),
    )
    summary = f"{' = '.join(check.engines)}: {check.count} random models, {values:,} values, {wrong:,} differ"
    return Outcome(summary, "; ".join(firsts[:3]) or None, Details(figures=figures))


def _random_model(rng: np.random.Generator) -> Model:
    """Any dimensions up to 20, any table rule, any parameters."""
    dims = {name: int(rng.integers(1, 21)) for name in ("values", "channels", "hidden", "classes")}
    kind = rng.integers(0, 5)
    rule = None if kind == 0 else tuple(TableRule)[kind - 1]
    points = 0 if rule is None else 256 if rule is TableRule.FULL else int(rng.choice(TABLE_POINTS))
    tokens, blocks = int(2 ** rng.integers(0, 5)), int(rng.integers(1, 3))
    config = ResMLPConfig(tokens=tokens, blocks=blocks, points=points, rule=rule, **dims)
    return random_model("random", config, rng)
