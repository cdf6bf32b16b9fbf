"""Holds Verilog to a model: what is too narrow, of the other sign or of another shape, found without simulating."""

import re
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

from fxsim.devices import DEVICES, Device, make_settings
from fxsim.devices.described.check import check
from fxsim.devices.described.description import BYTES_MAX, EXPECTED
from fxsim.devices.needs import Need
from fxsim.errors import FxsimError, StimulusError
from fxsim.formats.text import read_bounded
from fxsim.graph import Model
from fxsim.rtl_lint.elaborate import Elaborator, Instance, Signal, walk
from fxsim.rtl_lint.tree import UnreadError, parse_modules

Rule = Literal["width", "sign", "shape", "unknown"]


class LintFinding(msgspec.Struct, frozen=True):
    """A signal that is not as the model needs it, or what could not be read. `instance`: the first where it is so."""

    rule: Rule
    file: str
    line: int
    message: str
    instance: str = ""


class LintResult(msgspec.Struct, frozen=True):
    """The result: signals that were held to the model, what is wrong, and those that are wider than the model needs."""

    model: str
    checked: int
    findings: tuple[LintFinding, ...]
    folder: str
    wider: int = 0

    @property
    def passed(self) -> bool:
        """Whether nothing is wrong, and something was looked at."""
        return not self.findings and self.checked > 0


def lint_rtl(
    model: Model, device: str, settings: Mapping[str, object] | None = None, rtl: Path | None = None
) -> LintResult:
    """Hold an accelerator's Verilog, or that of a folder in its place, to a model.

    What cannot be read is a finding, not an exception. ModelError where the accelerator cannot compute the model;
    StimulusError where it states no needs.
    """
    found: Device = DEVICES[device]
    if found.needs is None:
        raise StimulusError(f"of the accelerator '{found.name}' it is not stated how wide its signals must be")
    fitted = found.fit(model, make_settings(found.name, found.settings, settings or {}))
    sources = fitted.design.read(rtl)
    folder = str(sources.folder)
    try:
        top = Elaborator(parse_modules(sources)).elaborate(fitted.design.top, fitted.parameters)
    except UnreadError as error:
        return LintResult(model.name, 0, (LintFinding("unknown", error.file, error.line, error.text),), folder)
    return _held(model, found.needs(model), list(walk(top)), folder)


def lint_described(model: Model, path: Path) -> LintResult:
    """Hold the ports, taps and memories of a described design to a model, as its description names them.

    What is found is what `fxsim dut check` finds; the line is the description's first, which has all of them.
    """
    found = check(path, model)
    problems = [problem.removeprefix(f"{path}: ") for problem in found.problems]
    findings = tuple(LintFinding("unknown" if "cannot" in p else "width", path.name, 1, p) for p in problems)
    return LintResult(
        model.name, len(found.streams) + len(found.taps) + len(found.memories), findings, str(path.parent)
    )


class Place(NamedTuple):
    """A line of a file in a folder."""

    folder: Path
    file: str
    line: int


def tap_place(model: Model, device: str, settings: Mapping[str, object], rtl: Path | None, tap: str) -> Place | None:
    """The line that stands for a tap: of the module that computes it, or of the description's entry; None if unknown.

    Nothing here may hide what was found at the tap: what cannot be read is unknown.
    """
    if isinstance(path := settings.get("dut"), str):
        return _described_place(Path(path), tap)
    found = DEVICES[device]
    if found.instance_of is None:
        return None
    try:
        fitted = found.fit(model, make_settings(found.name, found.settings, settings))
        sources = fitted.design.read(rtl)
        top = Elaborator(parse_modules(sources)).elaborate(fitted.design.top, fitted.parameters)
    except FxsimError:
        return None
    instance = dict(walk(top)).get(found.instance_of(tap))
    return None if instance is None else Place(sources.folder, instance.file, instance.line)


def _described_place(path: Path, tap: str) -> Place | None:
    """The line of a description on which a tap's entry has its name."""
    try:
        text = read_bounded(path, BYTES_MAX, EXPECTED).decode("utf-8", "replace")
    except FxsimError:
        return None
    for number, line in enumerate(text.split("\n"), 1):
        if re.fullmatch(rf"""\s*(?:tap|name|tensor)\s*=\s*["']{re.escape(tap)}["'].*""", line):
            return Place(path.parent, path.name, number)
    return None


@cache
def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, text.split("*"))))


def _held(model: Model, needs: Iterable[Need], instances: list[tuple[str, Instance]], folder: str) -> LintResult:
    """Hold every signal to the needs of it. One that is wrong in several instances is told once, where it stands."""
    findings: dict[tuple[str, int, str, str], LintFinding] = {}
    checked = wider = 0
    by_path = dict(instances)
    for need in needs:
        if "*" in need.instance:
            pattern = _pattern(need.instance)
            named = [(path, instance) for path, instance in instances if pattern.fullmatch(path)]
        else:
            named = [(need.instance, by_path[need.instance])] if need.instance in by_path else []
        if not named:
            where = instances[0][1]
            text = f"there is no instance {need.instance}, whose {need.signal} holds {need.why}"
            finding = LintFinding("unknown", where.file, where.line, text)
            findings.setdefault((where.file, where.line, "unknown", text), finding)
        for path, instance in named:
            signals = _signals(instance, need.signal)
            if not signals:
                text = f"{instance.module} has no signal {need.signal}, which holds {need.why}"
                finding = LintFinding("unknown", instance.file, instance.line, text, path)
                findings.setdefault((instance.file, instance.line, "unknown", text), finding)
            for signal in signals:
                checked += 1
                wider += signal.width > need.width
                for rule, text in _wrong(need, signal):
                    finding = LintFinding(rule, signal.file, signal.line, f"{instance.module}.{text}", path)
                    findings.setdefault((signal.file, signal.line, rule, signal.name.rpartition(".")[2]), finding)
    ordered = sorted(findings.values(), key=lambda f: (f.file, f.line, f.rule))
    return LintResult(model.name, checked, tuple(ordered), folder, wider)


def _signals(instance: Instance, name: str) -> list[Signal]:
    if "*" in name:
        pattern = _pattern(name)
        return [signal for signal in instance.signals.values() if pattern.fullmatch(signal.name)]
    return [instance.signals[name]] if name in instance.signals else []


def _wrong(need: Need, signal: Signal) -> Iterable[tuple[Rule, str]]:
    """Everything that is wrong with a signal, in words."""
    if signal.width < need.width or (need.exact and signal.width != need.width):
        least = "" if need.exact else "at least "
        yield "width", f"{signal.name} has {signal.width} bits, expected {least}{need.width}: {need.why}"
    if need.signed is not None and signal.signed is not need.signed:
        words = ("unsigned", "signed")
        yield "sign", f"{signal.name} is {words[signal.signed]}, expected {words[need.signed]}: {need.why}"
    if (need.depth is None) != (signal.depth is None):
        text = f"{signal.name} is {'no' if signal.depth is None else 'a'} memory"
        yield "shape", f"{text}, expected {'one' if signal.depth is None else 'none'}: {need.why}"
    elif need.depth is not None and signal.depth != need.depth:
        yield "shape", f"{signal.name} has {signal.depth:,} words, expected {need.depth:,}: {need.why}"
