"""Kind `random-models`: two engines on random ResMLPs. Plans that name it go on; `random-networks` has all there is."""

from collections.abc import Iterator
from typing import Annotated

import numpy as np
from msgspec import Meta

from fxsim.contract import TABLE_POINTS, TableRule
from fxsim.engines import Engine
from fxsim.families import ResMLPConfig
from fxsim.graph import Model
from fxsim.operators import Lut
from fxsim.signoff.checks.engines import compare_engines, compared_with_itself, skip_without
from fxsim.signoff.context import Context, Outcome, first_few, random_model
from fxsim.signoff.kind import Kind, Nothing
from fxsim.signoff.plan import Check, Images
from fxsim.signoff.record import Details, Figure
from fxsim.vectors import draw_stimulus


class RandomModelsCheck(Check, frozen=True, tag="random-models", kw_only=True):
    """Two engines give the same values on random models: dimensions, table rules, weights and shifts of any size."""

    count: Annotated[int, Meta(ge=1, le=10_000)]
    images: Images = 3
    engines: tuple[Engine, Engine] = (Engine.REFERENCE, Engine.NUMBA)

    def problems(self) -> Iterator[str]:
        """The check must compare two engines."""
        return compared_with_itself(self.engines)


def run(check: RandomModelsCheck, context: Context, seed: int) -> Outcome:
    """Two engines on models whose every parameter is drawn, shifts up to 255 and extreme weights included."""
    skip_without(check.engines)
    rng = np.random.default_rng(seed)
    values, wrong, firsts = 0, 0, []
    seen = {"psa": 0, "relu": 0}
    for number in range(check.count):
        context.progress(number, check.count)
        model = _random_model(rng)
        seen["psa" if any(isinstance(node.op, Lut) for node in model.graph.nodes) else "relu"] += 1
        draw = "uniform" if number % 2 else "extreme"
        x = draw_stimulus(draw, check.images, model.graph.input, int(rng.integers(2**31)))
        comparison, first = compare_engines(f"random model {number}", model, x, check.engines)
        values += sum(row.compared for row in comparison.taps)
        wrong += sum(row.mismatches for row in comparison.taps)
        firsts += [first] if first else []
    figures = (
        Figure("models", f"{seen['psa']} PSA, {seen['relu']} ReLU"),
        Figure("values compared", values),
        Figure("values that differ", wrong),
    )
    summary = f"{' = '.join(check.engines)}: {check.count} random models, {values:,} values, {wrong:,} differ"
    return Outcome(summary, first_few(firsts) or None, Details(figures))


def _random_model(rng: np.random.Generator) -> Model:
    """A model of any dimensions up to 20, any table rule and any parameters."""
    dims = {name: int(rng.integers(1, 21)) for name in ("values", "channels", "hidden", "classes")}
    kind = rng.integers(0, 5)
    rule = None if kind == 0 else tuple(TableRule)[kind - 1]
    points = 0 if rule is None else 256 if rule is TableRule.FULL else int(rng.choice(TABLE_POINTS))
    tokens, blocks = int(2 ** rng.integers(0, 5)), int(rng.integers(1, 3))
    config = ResMLPConfig(tokens=tokens, blocks=blocks, points=points, rule=rule, **dims)
    return random_model("random", config, rng)


KIND = Kind(
    settings=RandomModelsCheck,
    about="two engines agree on random models: dimensions, table rules, weights, shifts to 255",
    run=run,
    seeded=True,
    data=Nothing(
        "hundreds of models' taps would say nothing that the sums do not; the reason names the first differences"
    ),
    report=Nothing("its line in the table of checks says everything"),
)
