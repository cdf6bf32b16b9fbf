"""Checks of the engines' speed: equal values on what is measured, and figures of the machine that measured them.

They are measured anew in every run: nothing of them is kept for another one, and the record names the machine.
"""

from fxsim.machine import count_cores
from fxsim.signoff.context import Context, Outcome
from fxsim.signoff.plan import SpeedCheck
from fxsim.signoff.record import Details, Figure, Speed

_ROUNDS = 3
_SECONDS = 0.03
_BATCHES = (1, 512)


def speed(check: SpeedCheck, context: Context, seed: int) -> Outcome:
    """Every engine on every instruction set of this machine, what it can do at most, and the time by operator."""
    # Only here: what measures takes half a second to import.
    from fxsim.benchmark.contestants import COMPILED, list_engines
    from fxsim.benchmark.measure import measure
    from fxsim.engines.compiled import instruction_sets

    model = context.model(check.model)
    images = context.stimulus(check.stimulus, model, seed)[: check.images]
    threads = check.threads or count_cores()
    measured = measure(
        model,
        images,
        list_engines(tuple(kind.name for kind in instruction_sets()), threads, _BATCHES),
        threads=threads,
        rounds=_ROUNDS,
        seconds=_SECONDS,
        seed=seed,
        report=context.progress,
    )
    rates = {
        result.contestant.name: result.rate.median
        for result in measured.results
        if result.rate is not None and result.contestant.engine == COMPILED
    }
    fastest = max(rates, key=lambda name: rates[name], default=None)
    reached = None if fastest is None else rates[fastest]
    problems = [
        f"{result.contestant.name}: {result.difference}" for result in measured.results if result.equal is False
    ]
    if check.at_least is not None and (reached is None or reached < check.at_least):
        found = "nothing" if reached is None else f"{reached:,.0f} ({fastest})"
        problems.append(f"{found} images/s, expected at least {check.at_least:,.0f}")
    by_name = {result.contestant.name: result for result in measured.results}
    share = None if fastest is None else measured.share(by_name[fastest])
    machine = measured.machine
    figures = (
        Figure("measured on", f"{machine.processor}, {machine.cores} cores, {', '.join(machine.instruction_sets)}"),
        Figure("images compared with the reference engine", len(images)),
        Figure("paths", len(measured.results)),
        Figure("paths whose values differ", sum(result.equal is False for result in measured.results)),
        Figure("paths that cannot compute the model", sum(result.absent is not None for result in measured.results)),
        Figure("fastest path", fastest),
        Figure("its images a second", None if reached is None else round(reached)),
        Figure("part of the products that the machine can do", None if share is None else round(100 * share, 1), "%"),
        Figure("demanded images a second", check.at_least),
    )
    equal = sum(result.equal is True for result in measured.results)
    summary = f"{check.model}: {equal} of {len(measured.results)} paths = reference on {len(images)} images"
    if problems:
        summary = f"{check.model}: {len(problems)} problem(s)"
    elif reached is not None:
        summary += f"; {reached:,.0f} images/s on {machine.processor}, {threads} thread(s)"
    details = Details(figures=figures, speeds=(Speed(measured, check.at_least, reached),))
    return Outcome(summary, "; ".join(problems[:3]) or None, details)
