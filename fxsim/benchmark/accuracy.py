"""Accuracy of students by hidden size and activation: float, fake-quant and integer, over several seeds."""

import hashlib
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from fxsim.benchmark.machine import describe_machine
from fxsim.errors import FileError, FxsimError
from fxsim.formats import atomic_write
from fxsim.formats.text import read_json

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from fxsim.training.flow import ProgressFor
    from fxsim.training.recipe import Recipe

NETWORKS = ("float", "fake-quant", "integer")
_BYTES_MAX = 1 << 26

Told = Callable[[str], None]
"""A function that shows one line."""


class Found(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Test pictures that one network classified rightly, and how many there were."""

    correct: int
    total: int


class Spread(msgspec.Struct, frozen=True):
    """Mean and sample standard deviation of accuracies; one alone has no deviation."""

    mean: float
    deviation: float | None

    def __str__(self) -> str:
        mean = f"{100 * self.mean:.2f}%"
        return mean if self.deviation is None else f"{mean} \N{PLUS-MINUS SIGN} {100 * self.deviation:.2f}"


class Row(msgspec.Struct, frozen=True):
    """The students of one hidden size and activation, over all seeds."""

    hidden: int
    activation: str
    parameters: int
    seeds: int
    networks: dict[str, Spread]


class Case(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One student and its figures. `key` hashes all that they depend on; `seconds`: time of what was computed anew.

    `parameters` are the float student's. `networks` are the teacher, where there is one, and `NETWORKS`.
    """

    key: str
    activation: str
    hidden: int
    seed: int
    parameters: int
    networks: dict[str, Found]
    seconds: float


class Study(msgspec.Struct, forbid_unknown_fields=True):
    """The results file: cases by name. `machine` is where the last of them was computed."""

    format: str = "fxsim.accuracy"
    version: int = 1
    machine: str = ""
    cases: dict[str, Case] = msgspec.field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """One student to be made: its recipe with hidden size and seed as asked for, and its teacher's."""

    recipe: "Recipe"
    teacher: "Recipe | None"
    data_sha256: str

    @property
    def activation(self) -> str:
        """The student's activation."""
        return str(self.recipe.resmlp.activation)

    @property
    def name(self) -> str:
        """Name of the case in the results file."""
        return f"{self.activation}_h{self.recipe.resmlp.hidden}_s{self.recipe.seed}"

    def key(self) -> str:
        """SHA-256 of all that the figures depend on: both recipes, the data, fxsim's code, torch's version."""
        import torch

        from fxsim.training.keys import source_sha256

        sections = ("data", "augmentation", "network", "train", "transfer", "distill", "quantize", "export")
        recipes = [None if r is None else r.describe(*sections) for r in (self.recipe, self.teacher)]
        content = (recipes, self.data_sha256, source_sha256(), str(torch.__version__))
        return hashlib.sha256(msgspec.json.encode(content, order="deterministic")).hexdigest()


def carry_out(plans: Sequence[Plan], runs: Path, out: Path, plot: Path, progress: "ProgressFor", say: Told) -> Study:
    """Make what is not there yet, and write results and picture. FxsimError where something does not fit."""
    from fxsim.formats.figures import check_figure_target, write_figure

    try:
        for folder in {runs, out.parent, plot.parent}:
            folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(f"cannot make the folder {folder}: {error.strerror or error}") from None
    check_figure_target(plot)
    study = _read(out)
    for number, plan in enumerate(plans, 1):
        known, key = study.cases.get(plan.name), plan.key()
        if known is None or known.key != key:
            say(f"{plan.name}: {number} of {len(plans)}")
            study.cases[plan.name] = _make(plan, key, runs, progress, say)
            study.machine = describe_machine()
            with atomic_write(out) as file:
                file.write_bytes(msgspec.json.format(msgspec.json.encode(study, order="deterministic")) + b"\n")
    cases = [study.cases[plan.name] for plan in plans]
    write_figure(draw(summarise(cases), title(plans, cases)), plot)
    return study


def plan_study(
    paths: Iterable[Path],
    activations: Sequence[str],
    hidden: Sequence[int],
    seeds: Sequence[int],
    data_path: Path | None,
) -> list[Plan]:
    """Every student, all of a seed together. FxsimError where recipes do not make one study."""
    from fxsim.data import load_data
    from fxsim.training.recipe import load_recipe

    found: dict[str, Path] = {}
    for path in paths:
        recipe = load_recipe(path, data_path)
        if recipe.quantize is None:
            raise FxsimError(f"{path}: has no [quantize] section, expected a recipe that ends in an integer model")
        activation = str(recipe.resmlp.activation)
        if activation in found:
            raise FxsimError(
                f"{path}: is of the activation {activation} like {found[activation]}, expected one of each"
            )
        found[activation] = path
    for name in activations:
        if name not in found:
            raise FxsimError(f"no recipe is of the activation '{name}'; those given are: {', '.join(found)}")
    plans: list[Plan] = []
    for seed in seeds:
        for size in hidden:
            for path in (found[name] for name in (activations or found)):
                recipe = load_recipe(path, data_path, seed)
                network = msgspec.structs.replace(recipe.resmlp, hidden=size)
                recipe = replace(recipe, name=f"{network.activation}_h{size}", network=network)
                teacher = None if recipe.teacher is None else load_recipe(recipe.teacher, recipe.data_path, seed)
                if plans and recipe.describe("data")["data"] != plans[0].recipe.describe("data")["data"]:
                    raise FxsimError(
                        f"{path}: its [data] differs from that of {plans[0].recipe.path}, expected the same"
                    )
                sha256 = plans[0].data_sha256 if plans else load_data(recipe.data.source, recipe.data_path).sha256
                plans.append(Plan(recipe, teacher, sha256))
    return plans


def _make(plan: Plan, key: str, runs: Path, progress: "ProgressFor", say: Told) -> Case:
    """Carry a student's recipe out and read its evaluation."""
    from fxsim.networks.checkpoint import load_float
    from fxsim.training.evaluate import Evaluation
    from fxsim.training.flow import flow
    from fxsim.training.loop import deterministic
    from fxsim.training.losses import compute_logits, count_correct
    from fxsim.training.splits import load_splits

    recipe = plan.recipe
    started = time.perf_counter()
    # A folder a seed: students of one seed share a teacher.
    folder = runs / f"seed_{recipe.seed}" / f"{plan.activation}_h{recipe.resmlp.hidden}"
    result = flow(recipe, folder, progress, lambda line: say(f"fxsim: {line}"))
    seconds = time.perf_counter() - started
    assert result.evaluation is not None, "a recipe with [quantize] ends in an evaluation"
    evaluation = read_json(result.evaluation, Evaluation, _BYTES_MAX, "an evaluation")
    networks = {name: Found(each.correct, each.total) for name, each in evaluation.networks.items()}
    if result.teacher is not None:
        test = load_splits(recipe).test
        with deterministic(threads=1):
            logits = compute_logits(load_float(result.teacher)[0], test.tokens)
        networks["teacher"] = Found(count_correct(logits, test.labels), len(test))
    student, _ = load_float(result.network)
    parameters = sum(p.numel() for p in student.parameters())
    return Case(key, plan.activation, recipe.resmlp.hidden, recipe.seed, parameters, networks, round(seconds, 1))


def summarise(cases: Sequence[Case]) -> list[Row]:
    """A row for each hidden size and activation, in the order of the first of its cases."""
    groups: dict[tuple[int, str], list[Case]] = {}
    for case in cases:
        groups.setdefault((case.hidden, case.activation), []).append(case)
    return [
        Row(
            hidden,
            activation,
            group[0].parameters,
            len(group),
            {name: spread([case.networks[name] for case in group]) for name in NETWORKS},
        )
        for (hidden, activation), group in groups.items()
    ]


def spread(found: Sequence[Found]) -> Spread:
    """Mean and sample standard deviation of several networks' accuracies."""
    shares = [each.correct / each.total for each in found]
    return Spread(statistics.fmean(shares), statistics.stdev(shares) if len(shares) > 1 else None)


def teachers(cases: Sequence[Case]) -> Spread | None:
    """Spread of the teachers, one a seed."""
    by_seed = {case.seed: case.networks["teacher"] for case in cases if "teacher" in case.networks}
    return spread(list(by_seed.values())) if by_seed else None


def title(plans: Sequence[Plan], cases: Sequence[Case]) -> str:
    """Title of the study in a line: data, pictures, seeds."""
    data = plans[0].recipe.data
    total = cases[0].networks["integer"].total
    seeds = len({case.seed for case in cases})
    shape = f"{data.size} x {data.size}, patches of {data.patch}"
    deviation = ", mean \N{PLUS-MINUS SIGN} sample standard deviation" if seeds > 1 else ""
    return f"Accuracy on {total:,} test pictures of {data.source} ({shape}), {seeds} seed{'s'[: seeds > 1]}{deviation}"


def draw(rows: Sequence[Row], title: str) -> "Figure":
    """Accuracy by hidden size: a panel for the float networks, one for the integer models; error bars over seeds."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    from fxsim.formats.figures import STYLE

    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9, 3.6), layout="constrained")
        panels = figure.subplots(1, 2, sharey=True)
        for panel, network in zip(panels, ("float", "integer"), strict=True):
            activations = list(dict.fromkeys(row.activation for row in rows))
            for number, activation in enumerate(activations):
                # Side by side: error bars would hide each other.
                shift = 2 ** (0.06 * (number - (len(activations) - 1) / 2))
                chosen = sorted((r for r in rows if r.activation == activation), key=lambda r: r.hidden)
                figures = [row.networks[network] for row in chosen]
                panel.errorbar(
                    [row.hidden * shift for row in chosen],
                    [100 * each.mean for each in figures],
                    yerr=[100 * (each.deviation or 0) for each in figures],
                    marker="o", markersize=4, linewidth=1.2, capsize=3, label=activation,
                )  # fmt: skip
            sizes = sorted({row.hidden for row in rows})
            panel.set_xscale("log", base=2)
            panel.set_xticks(sizes, [str(size) for size in sizes])
            panel.minorticks_off()
            panel.set_xlabel("hidden size")
            panel.set_title(f"{network} {'networks' if network == 'float' else 'models'}")
            panel.grid(visible=True)
        panels[0].set_ylabel("accuracy, %")
        panels[1].legend()
        figure.suptitle(title, fontsize=9, x=0.01, ha="left")
    return figure


def _read(path: Path) -> Study:
    """The results so far, none where there is no file. FileError where it is something else, which would be lost."""
    if not path.exists():
        return Study()
    study = read_json(path, Study, _BYTES_MAX, "a results file of this benchmark (give another with --out)")
    if (study.format, study.version) != (Study().format, Study().version):
        raise FileError(f"{path}: is not a results file of this version of the benchmark, give another with --out")
    return study
