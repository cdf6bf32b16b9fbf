"""`python -m benchmarks explain`: every fault at every operator of small models, and what `fxsim diff` calls it."""

import csv
import time
from collections import Counter
from pathlib import Path

import click
import numpy as np

from benchmarks.explain_rtl import explain_rtl
from benchmarks.explain_times import measure
from fxsim.benchmark.machine import describe_machine
from fxsim.cli.console import json_option, print_json, print_table, progress, say
from fxsim.explain.inject import Outcome, confuse
from fxsim.formats import atomic_write, load
from fxsim.graph import Model
from fxsim.paths import golden_dir
from fxsim.signoff.context import generate
from fxsim.signoff.plan import GeneratedModel

ROOT = Path(__file__).resolve().parent.parent
# One for each way to read a table that the golden models do not have.
ODD = {
    f"odd_{rule}": GeneratedModel(
        grid=(2, 4), patch=1, channels=7, hidden=6, blocks=1, classes=3, points=points, rule=rule, seed=20 + points
    )
    for rule, points in (("hold", 8), ("endpoint", 16), ("full", 256))
}


def _model(name: str) -> Model:
    return generate(name, ODD[name]) if name in ODD else load(golden_dir() / f"{name}.safetensors")


@click.command()
@click.option(
    "--models", default="small,small_relu," + ",".join(ODD), show_default=True, help="Golden models, or these."
)
@click.option("--images", default=4, show_default=True, help="Random images of each.")
@click.option("--again", default=32, show_default=True, help="Images for faults that so few do not name.")
@click.option("--faults", type=int, help="Single faults, of each label in turn.  [default: all]")
@click.option("--pairs", default=200, show_default=True, help="Two faults at once, drawn.")
@click.option("--seed", default=1, show_default=True, help="Of images, places and pairs.")
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="FILE.csv",
    help="The matrix: injected by row, named by column.  [default: reports/explain.csv, explain_rtl.csv]",
)  # fmt: skip
@click.option(
    "--rtl", is_flag=True,
    help="Faults of the streaming accelerator's Verilog and ROMs, simulated, in place of operators'.",
)  # fmt: skip
@click.option("--times", is_flag=True, help="Measure CPU seconds for psa_h96 in place of injecting faults.")
@json_option
def explain(
    models: str,
    images: int,
    again: int,
    faults: int | None,
    pairs: int,
    seed: int,
    out: Path | None,
    rtl: bool,
    times: bool,
    as_json: bool,
) -> None:
    """Inject faults into every operator of small models, and tell injected from named; takes minutes.

    Exit status is 1 where a fault was called for sure what it is not.
    """
    if times:
        _times(seed, as_json)
        return
    if rtl:
        _explain_rtl(seed, images, out or ROOT / "reports" / "explain_rtl.csv", as_json)
        return
    out = out or ROOT / "reports" / "explain.csv"
    loaded = [_model(name) for name in models.split(",")]
    given = [
        (
            model,
            np.random.default_rng([seed, n])
            .integers(-128, 128, (max(images, again), *model.graph.input_shape))
            .astype(np.int8),
        )
        for n, model in enumerate(loaded)
    ]
    begun = time.process_time()
    with progress("faults") as report:
        found = confuse(given, seed, images=images, most=faults, pairs=pairs, progress=report)
    seconds = time.process_time() - begun
    rows = {**found.matrix(), **found.matrix(pairs=True)}
    names = sorted({name for row in rows.values() for name in row}, key=lambda name: ("+" in name, name))
    with atomic_write(out) as file, file.open("w", newline="", encoding="utf-8") as text:
        writer = csv.writer(text)
        writer.writerow(["injected", *names])
        writer.writerows([label, *(row[name] for name in names)] for label, row in rows.items())
    counts = {str(outcome): found.count(outcome) for outcome in Outcome}
    if as_json:
        print_json(
            {
                "machine": describe_machine(), "models": models, "images": images, "seed": seed, **counts,
                "harmless": dict(found.harmless), "seconds": round(seconds, 1),
                "on_more_images": dict(Counter(str(t.again) for t in found.tried if t.again is not None)),
                "misnamed_faults": [tried._asdict() for tried in found.misnamed],
                "matrix": {label: dict(row) for label, row in rows.items()},
            }
        )  # fmt: skip
    else:
        click.echo(describe_machine())
        single = [t for t in found.tried if "+" not in t.injected]
        for title, own in (("single faults", single), ("pairs", [t for t in found.tried if "+" in t.injected])):
            cells = [(str(o), sum(t.outcome is o for t in own)) for o in Outcome]
            print_table(f"{title}: {len(own):,}", ("outcome", "faults"), cells)
            left = [t.again for t in own if t.again is not None]
            if left:
                named = ", ".join(f"{left.count(o):,} {o}" for o in Outcome if o in left)
                say(f"the {len(left):,} that are too few or unexplained, on {again} images: {named}")
        for tried in found.misnamed:
            say(
                f"{tried.model}, {tried.node}: {tried.injected} was called {tried.named}; {tried.values:,} wrong values"
            )
        click.echo(f"{sum(found.harmless.values()):,} faults changed no value; {seconds:.0f} CPU seconds")
        say(f"{out}: the matrix")
    if found.misnamed:
        raise SystemExit(1)


def _times(seed: int, as_json: bool) -> None:
    """The CPU seconds of explanations and of a sweep."""
    found = measure(seed)
    if as_json:
        rows = [{"measured": what, "result": result, "seconds": round(s, 2)} for what, result, s in found]
        print_json({"machine": describe_machine(), "model": "psa_h96", "times": rows})
        return
    click.echo(describe_machine())
    print_table("psa_h96", ("measured", "result", "CPU seconds"), [(w, r, f"{s:.1f}") for w, r, s in found])


def _explain_rtl(seed: int, images: int, out: Path, as_json: bool) -> None:
    """The matrix of faults in the RTL, by tap."""
    begun = time.process_time()
    with progress("faults in the RTL") as report:
        found = explain_rtl(seed, images, report)
    columns = sorted({label for named in found for label in named.labels})
    with atomic_write(out) as file, file.open("w", newline="", encoding="utf-8") as text:
        writer = csv.writer(text)
        writer.writerow(["injected", "done", *columns])
        writer.writerows([n.label, n.note, *(n.labels[label] for label in columns)] for n in found)
    if as_json:
        rows = [named._asdict() | {"outcomes": {str(k): v for k, v in named.outcomes.items()}} for named in found]
        print_json({"machine": describe_machine(), "images": images, "seed": seed, "faults": rows})
    else:
        click.echo(describe_machine())
        print_table(
            f"{len(found)} faults in the RTL: what each tap that is faulty was called",
            ("injected", "done", "values", *(str(o) for o in Outcome if o is not Outcome.SIMPLER)),
            [(n.label, n.note, n.values, *(n.outcomes[o] for o in Outcome if o is not Outcome.SIMPLER)) for n in found],
        )
        click.echo(f"{time.process_time() - begun:.0f} CPU seconds here, beside simulators")
        say(f"{out}: the matrix")
    if any(named.outcomes[Outcome.MISNAMED] for named in found):
        raise SystemExit(1)
