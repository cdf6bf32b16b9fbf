"""Kind `rtl-contract`: widths, signs and shapes of the Verilog against what models need, without simulating."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from fxsim.devices import DEVICES
from fxsim.errors import ToolError
from fxsim.rtl_lint import LintResult, lint_described, lint_rtl
from fxsim.signoff.context import Context, Outcome, SkipCheck, first_few
from fxsim.signoff.designs import DesignsCheck
from fxsim.signoff.findings import Finding, shown_source
from fxsim.signoff.kind import Kind, Section, Topic
from fxsim.signoff.record import CheckRecord, Data, Details, Figure
from fxsim.signoff.report.elements import Block, Column, Row, Table
from fxsim.signoff.simulation import note_sources


class RtlContractCheck(DesignsCheck, frozen=True, tag="rtl-contract", kw_only=True):
    """Every signal of the Verilog that holds something of a model is as wide, and of the sign and shape, that it needs.

    With `dut` its ports, taps and memories are held to the model in place of an accelerator's signals.
    """

    def problems(self) -> Iterator[str]:
        """Each accelerator must state its needs."""
        yield from super().problems()
        for name in self.accelerators:
            if name in DEVICES and DEVICES[name].needs is None:
                yield f"names accelerator '{name}', of which it is not stated how wide its signals must be"


class HeldDesign(Data, frozen=True):
    """A design that was held to a model. `wider`: signals that have more bits than the model needs."""

    FIELD = "rtl_contracts"

    design: str
    model: str
    checked: int
    wider: int
    wrong: int


def run(check: RtlContractCheck, context: Context, _seed: int) -> Outcome:
    """Hold each accelerator, or the described design, to each model."""
    if check.dut is None and find_spec("pyverilog") is None:
        raise SkipCheck("the extra 'evidence' is not installed: there is no pyverilog here, which reads the Verilog")
    rows, findings, problems = [], [], []
    for name in check.models:
        model = context.model(name)
        with suppress(ToolError):  # what cannot be read is a finding, as below
            note_sources(check, model, context)
        results: list[tuple[str, LintResult]] = []
        if check.dut is not None:
            results.append((check.dut, lint_described(model, context.path(check.dut))))
        else:
            rtl = None if check.rtl is None else context.path(check.rtl)
            results += [(device, lint_rtl(model, device, rtl=rtl)) for device in check.accelerators]
        for design, result in results:
            rows.append(HeldDesign(design, name, result.checked, result.wider, len(result.findings)))
            if not result.checked and not result.findings:
                problems.append(f"{design}: nothing could be held to model '{name}'")
            for found in result.findings:
                file = shown_source(context, Path(result.folder), found.file)
                findings.append(Finding(f"contract/{found.rule}", f"{name}: {found.message}", file, found.line))
                problems.append(f"{file}:{found.line}: {found.message} (model '{name}')")
        if not problems:
            note_sources(check, model, context)
    findings = list(dict.fromkeys(findings))
    checked = sum(row.checked for row in rows)
    summary = f"{checked:,} signals of {len(rows)} designs with a model are as wide as it needs"
    figures = (
        Figure("signals held to a model", checked),
        Figure("wider than needed", sum(row.wider for row in rows)),
        Figure("wrong", len(findings)),
    )
    return Outcome(summary, first_few(problems, 5) or None, Details(figures, [*rows, *findings]))


def _named(check: CheckRecord) -> list[tuple[str, HeldDesign]]:
    return [(check.name, row) for row in check.details.of(HeldDesign)]


def _write(rows: Sequence[tuple[str, HeldDesign]]) -> list[Block]:
    titles = ("signals", "wider than needed", "wrong")
    columns = (
        *(Column(title, whole=True) for title in ("check", "design", "model")),
        *(Column(t, True) for t in titles),
    )
    table = [
        Row((name, row.design, row.model, row.checked, row.wider, row.wrong), failed=row.wrong > 0)
        for name, row in rows
    ]
    return [Block((Table(columns, tuple(table)),))]


def _wrong(check: CheckRecord) -> list[Finding]:
    return list(check.details.of(Finding)) if check.kind == KIND.name else []


def _write_wrong(findings: Sequence[Finding]) -> list[Block]:
    columns = (Column("line", whole=True), Column("wrong"))
    rows = tuple(Row((f"{found.file}:{found.line}", found.message), failed=True) for found in findings)
    return [Block((Table(columns, rows),))]


KIND = Kind(
    settings=RtlContractCheck,
    about="every signal of the Verilog that holds something of a model is as wide as its proved bounds need",
    run=run,
    data=(HeldDesign, Finding),
    report=(
        Section(
            "Widths of the Verilog against the models",
            _named,
            _write,
            "Read from the syntax tree, with the parameters of the model: accumulators need their proved bounds, "
            "memories the shape of the model's tensors, ports the format of its values.",
            topic=Topic.AGREEMENT,
        ),
        Section("Signals that are not as a model needs them", _wrong, _write_wrong, topic=Topic.AGREEMENT),
    ),
)
