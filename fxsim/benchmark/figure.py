"""Drawing a measurement: the roofline, images a second, the time by operator. Imports matplotlib.

The report of a sign-off draws the same with colours of its own.
"""

import math
from typing import Any, NamedTuple

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter
from matplotlib.transforms import ScaledTranslation

from fxsim.benchmark.record import NATIVE, BenchRecord, Contestant, Measured, Result, Spread
from fxsim.formats.figures import STYLE


class Palette(NamedTuple):
    """Colours by what they are for: text, lines, the compiled engine, the plain loops, others; one a kind of step."""

    paper: str
    ink: str
    muted: str
    line: str
    compiled: str
    loops: str
    others: str
    published: str
    steps: tuple[str, ...]


HOUSE = Palette(
    "#ffffff",
    "#222222",
    "#707070",
    "#b8b8b8",
    "#4878a8",
    "#c8843c",
    "#a8a8a8",
    "#b03a48",
    ("#4878a8", "#7fa7cf", "#c8843c", "#e3b778", "#5b9a6b", "#9cc9a5", "#8a6aa8", "#c0a8d4", "#a8a8a8", "#d0d0d0"),
)

_ENGINES = {
    "compiled": "fxsim compiled",
    "loops": "fxsim plain loops",
    "reference": "fxsim reference (numpy)",
    "onnx": "ONNX Runtime",
    "torch-fake-quant": "PyTorch fake-quant",
    "torch-float32": "PyTorch float32",
    "numpy-float32": "numpy float32",
}
_SETS = {"avx512": "AVX-512", "avxvnni": "AVX-VNNI", "avx2": "AVX2", "ssse3": "SSSE3", "plain": "plain vectors"}
_HOSTS = {"avx2": "on an AVX2 host", "ssse3": "on an SSSE3 host", "sse2": "on an SSE2 host"}


def label(who: Contestant) -> str:
    """A contestant in words, without its threads."""
    parts = [_ENGINES[who.engine]]
    if who.isa is not None:
        parts.append(_SETS.get(who.isa, who.isa))
    if who.host != NATIVE:
        parts.append(_HOSTS[who.host])
    if who.taps == "all":
        parts.append("all taps")
    return ", ".join([*parts, f"batch {who.batch:,}"])


def short_label(who: Contestant) -> str:
    """A contestant beside its point: without its batch, and the compiled engine by its instruction set alone."""
    words = label(who).rsplit(", ", 1)[0]
    return words.removeprefix("fxsim compiled, ").removeprefix("fxsim ")


def draw_record(record: BenchRecord) -> Figure:
    """A page: the roofline of one core, the bars of all, the time by operator."""
    measured = record.measured
    with mpl.rc_context(STYLE):
        bars = len(_bars(measured))
        figure = Figure(figsize=(13, max(6.2, 2.4 + 0.25 * bars)), layout="constrained")
        grid = figure.add_gridspec(2, 2, width_ratios=(1, 1), height_ratios=(1, 0.14))
        roofline = "Roofline of one core: the whole network (dots), operators of the compiled engine (diamonds)"
        draw_roofline(figure.add_subplot(grid[0, 0]), measured, HOUSE, roofline)
        draw_bars(figure.add_subplot(grid[0, 1]), measured, HOUSE)
        draw_steps(figure.add_subplot(grid[1, :]), measured, HOUSE, "Time by operator of the compiled engine")
        machine = measured.machine
        figure.suptitle(
            f"{measured.model}: {measured.macs:,} multiply-accumulates an image, on {machine.processor}, "
            f"{machine.cores} core{'s' * (machine.cores != 1)}; median of {measured.rounds} "
            f"round{'s' * (measured.rounds != 1)}",
            x=0.01,
            ha="left",
            fontsize=10.5,
        )
    return figure


# --- Roofline --------------------------------------------------------------------------------------------------------


def draw_roofline(axes: Axes, measured: Measured, palette: Palette, title: str) -> None:
    """GMAC/s on one core over MACs a byte: roofs, whole networks, and the kinds of operator of the compiled engine."""
    roofs = _roofs(measured)
    points = _points(measured)
    operators = [(o, rate) for o in measured.operators() if (rate := measured.operator_rate(o)) is not None]
    top = max((rate for _, rate in roofs), default=1.0)
    x_low, x_high = 0.1, 300.0
    y_low = max(min((y for _, y, _ in points), default=top) / 2.5, top / 1e4)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(x_low, x_high)
    axes.set_ylim(y_low, top * 1.7)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.4g}"))
        axis.set_minor_formatter(NullFormatter())
    axes.grid(which="major")
    beside: dict[str, Any] = {"textcoords": "offset points", "fontsize": 7.5, "color": palette.ink}
    under = {"facecolor": palette.paper, "edgecolor": "none", "pad": 0.6}

    for name, bandwidth in (("second-level cache", "l2"), ("memory", "memory")):
        found = measured.roof(bandwidth, 1)
        if found is None:
            continue
        rate = found.best / 1e9
        end = min(top / rate, x_high)
        axes.plot([x_low, end], [x_low * rate, end * rate], color=palette.muted, linewidth=1.1)
        # Where the line begins to be seen.
        x = max(x_low, y_low / rate) * 1.15
        axes.text(
            x, x * rate * 1.14, f"{name}, {rate:.0f} GB/s", fontsize=7.5, color=palette.muted,
            rotation=math.degrees(math.atan(rate)), rotation_mode="anchor", transform_rotates_text=True,
        )  # fmt: skip
    widest = measured.roof("l2", 1)
    for name, rate in roofs:
        left = x_low if widest is None else max(x_low, rate * 1e9 / widest.best)
        axes.plot([left, x_high], [rate, rate], color=palette.ink, linewidth=1.2)
        axes.annotate(f"{name}, {rate:.0f} GMAC/s", (x_high, rate), xytext=(0, 3), ha="right", **beside)

    # Names are pushed apart, and a thin line leads to each point.
    x = measured.intensity
    height = (math.log(top * 1.7) - math.log(y_low)) / 26
    lowest = math.inf
    for name, y, engine in points:
        colour = {"compiled": palette.compiled, "loops": palette.loops}.get(engine, palette.others)
        lowest = min(math.log(y), lowest - height)
        axes.plot([x / 1.7, x], [math.exp(lowest), y], color=palette.line, linewidth=0.7, zorder=2.5)
        axes.plot([x], [y], marker="o", markersize=5.5, color=colour, linestyle="", zorder=3)
        place = (x / 1.7, math.exp(lowest))
        axes.annotate(name, place, xytext=(-2, 0), ha="right", va="center", bbox=under, zorder=2.6, **beside)
    highest = math.inf
    for operator, rate in sorted(operators, key=lambda entry: -entry[1]):
        x, y = operator.macs / operator.bytes, rate / 1e9
        highest = min(math.log(y), highest - height)
        place = (max(x * 1.5, 30.0), math.exp(highest))
        axes.plot([x, place[0]], [y, place[1]], color=palette.line, linewidth=0.7, zorder=2.5)
        axes.plot([x], [y], marker="D", markersize=5, color=palette.compiled, linestyle="", zorder=3)
        axes.annotate(operator.name, place, xytext=(2, 0), va="center", bbox=under, zorder=2.6, **beside)
    axes.set_xlabel("multiply-accumulates a byte that operators read and write")
    axes.set_ylabel("GMAC/s on one core")
    axes.set_title(title, loc="left")


def _roofs(measured: Measured) -> list[tuple[str, float]]:
    """Products of each instruction set, GMAC/s on one core, on a host that has no better one; the best first.

    Those about as high as another are one.
    """
    rates: dict[str, float] = {}
    for roof in measured.roofs:
        # Those of lesser hosts come last, and count.
        if roof.kind == "macs" and roof.threads == 1 and roof.isa is not None and not measured.is_beaten(roof):
            rates[roof.isa] = roof.best / 1e9
    found: list[tuple[str, float]] = []
    for isa, name in _SETS.items():
        rate = rates.get(isa)
        if rate is None:
            continue
        if found and 1 / 1.12 < found[-1][1] / rate < 1.12:
            found[-1] = f"{found[-1][0]}, {name}", max(found[-1][1], rate)
        else:
            found.append((name, rate))
    return found


def _points(measured: Measured) -> list[tuple[str, float, str]]:
    """Each path at its best batch on one thread: its name, GMAC/s, its engine; the fastest first."""
    best: dict[str, tuple[float, Contestant]] = {}
    for result in measured.results:
        who, products = result.contestant, measured.products(result)
        if who.threads != 1 or products is None:
            continue
        y = products / 1e9
        if who.path not in best or best[who.path][0] < y:
            best[who.path] = (y, who)
    return [(short_label(who), y, who.engine) for y, who in sorted(best.values(), key=lambda entry: -entry[0])]


# --- Bars ------------------------------------------------------------------------------------------------------------


def _bars(measured: Measured) -> list[tuple[Result, Spread]]:
    """Results on the most threads and of the reference engine, each with its rate; the fastest first."""
    most = max((result.contestant.threads for result in measured.results), default=1)
    found = [
        (result, rate)
        for result in measured.results
        if (rate := measured.rate(result)) is not None
        and (result.contestant.threads == most or result.contestant.engine == "reference")
    ]
    return sorted(found, key=lambda entry: -entry[1].median)


def draw_bars(axes: Axes, measured: Measured, palette: Palette) -> None:
    """Images a second of all contestants on the most threads, on a logarithmic axis."""
    bars = _bars(measured)
    for row, (result, rate) in enumerate(bars):
        engine = result.contestant.engine
        colour = {"compiled": palette.compiled, "loops": palette.loops}.get(engine, palette.others)
        axes.barh(row, rate.median, height=0.7, color=colour)
        axes.plot([rate.low, rate.high], [row, row], color=palette.ink, linewidth=0.9)
        share = measured.share(result)
        text = f"{rate.median:,.0f}" + ("" if share is None else f"  ({share:.1%} of peak)")
        axes.annotate(
            text, (rate.high, row), xytext=(5, 0), textcoords="offset points", va="center", fontsize=7.5,
            color=palette.ink, bbox={"facecolor": palette.paper, "edgecolor": "none", "pad": 0.6},
        )  # fmt: skip
    axes.set_xscale("log")
    rates = [rate.median for _, rate in bars] or [1.0]
    axes.set_xlim(min(rates) / 2, max(rates) * 8)
    axes.set_ylim(len(bars) - 0.4, -1.1)
    if measured.published is not None:
        published = measured.published.images_per_second
        axes.axvline(published, color=palette.published, linewidth=1.1, linestyle=(0, (4, 2)), zorder=0.9)
        axes.annotate(
            f"published FPGA {published:,.0f}", (published, -0.75), xytext=(4, 0), textcoords="offset points",
            va="center", fontsize=7.5, color=palette.published,
        )  # fmt: skip
    axes.set_yticks(range(len(bars)), [label(result.contestant) for result, _ in bars], fontsize=7.5)
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    threads = max((result.contestant.threads for result, _ in bars), default=1)
    axes.set_xlabel("images a second")
    axes.set_title(f"Images a second, {threads} thread{'' if threads == 1 else 's'}")


# --- Time by operator ------------------------------------------------------------------------------------------------


def draw_steps(axes: Axes, measured: Measured, palette: Palette, title: str) -> None:
    """One bar: the compiled engine's time an image on one thread, by kind of operator."""
    operators = measured.operators()
    start = 0.0
    total = sum(operator.seconds for operator in operators)
    handles = []
    for place, operator in enumerate(operators):
        width = operator.seconds * 1e6
        colour = palette.steps[place % len(palette.steps)]
        handles.append(
            axes.barh(0, width, left=start, height=0.8, color=colour, label=f"{operator.name} {width:.1f} µs")
        )
        if operator.seconds > 0.04 * total:
            text = f"{operator.seconds / total:.0%}"
            axes.text(start + width / 2, 0, text, ha="center", va="center", fontsize=8)
        start += width
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    if not operators:
        axes.set_axis_off()
        return
    axes.set_xlim(0, start)
    axes.set_ylim(-0.5, 0.5)
    axes.set_xlabel("µs an image on one thread")
    axes.set_title(title, loc="left")
    # So many points below the axis, however high the bar.
    below = ScaledTranslation(0, -38 / 72, axes.figure.dpi_scale_trans)
    axes.legend(
        handles=handles, loc="upper left", bbox_to_anchor=(0, 0), bbox_transform=axes.transAxes + below, ncols=5,
        borderaxespad=0,
    )  # fmt: skip
