"""A record's findings as SARIF 2.1.0, which code review and editors show at their lines of Verilog."""

import json
import os
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from fxsim import __version__
from fxsim.errors import ToolError
from fxsim.formats import atomic_write
from fxsim.signoff.findings import RULES, Finding, Rule
from fxsim.signoff.record import CheckRecord, SignoffRecord, Status

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_VERILATOR = re.compile(r"%(?:Error|Warning)[^:\s]*: rtl/([^:\s]+):(\d+):(?:(\d+):)?")
"""Verilator's own words for an error at a line, as they stand in a check's reason."""

_RULES = RULES | {
    "verilator/error": Rule(
        "Verilog that Verilator does not take.",
        "The message is Verilator's; the file is relative to the design's folder.",
    ),
    "check/failed": Rule(
        "A check of the sign-off failed, at no line of Verilog that is known.",
        "The check's command repeats it; its record has what was kept.",
    ),
    "check/error": Rule(
        "A check of the sign-off could not be carried out.", "The message says what is missing or wrong."
    ),
}
_DESIGN, _ROOT = "DESIGN", "SRCROOT"


def render_sarif(record: SignoffRecord) -> Any:
    """The log of a record, as sarif-pydantic's types: a result a finding, and one a check that failed without any.

    URIs are relative: to where fxsim ran or to the plan's folder (`SRCROOT`), or to a design's (`DESIGN`). ToolError
    without sarif-pydantic.
    """
    try:
        import sarif_pydantic as sarif
    except ModuleNotFoundError:
        raise ToolError(
            "sarif-pydantic is missing, which SARIF needs: install fxsim with the extra 'evidence'"
        ) from None
    found = [(check, finding) for check in record.checks for finding in _findings(check)]
    used = list(dict.fromkeys(finding.rule for _, (finding, _) in found))
    rules = [
        sarif.ReportingDescriptor(
            id=rule,
            short_description=sarif.Message(text=_RULES[rule].short),
            full_description=sarif.Message(text=f"{_RULES[rule].short} {_RULES[rule].help}"),
            help=sarif.Message(text=_RULES[rule].help),
        )
        for rule in used
    ]
    results = []
    for check, (finding, base) in found:
        location = None
        if finding.file:
            region = sarif.Region(start_line=finding.line, start_column=finding.column)
            artifact = sarif.ArtifactLocation(uri=_uri(finding.file), uri_base_id=base)
            physical = sarif.PhysicalLocation(artifact_location=artifact, region=region)
            location = [sarif.Location(physical_location=physical)]
        results.append(
            sarif.Result(
                rule_id=finding.rule,
                rule_index=used.index(finding.rule),
                level=sarif.Level(finding.level),
                message=sarif.Message(text=f"{finding.message} (check {check.name}; again: {check.replay})"),
                locations=location,
            )
        )
    driver = sarif.ToolDriver(name="fxsim", version=__version__, rules=rules)
    return sarif.Sarif(version="2.1.0", runs=[sarif.Run(tool=sarif.Tool(driver=driver), results=results)])


def encode_sarif(record: SignoffRecord) -> str:
    """The log of a record as JSON."""
    log = render_sarif(record).model_dump(mode="json", by_alias=True, exclude_none=True)
    return json.dumps({"$schema": SCHEMA} | {name: value for name, value in log.items() if name != "$schema"}, indent=2)


def write_sarif(record: SignoffRecord, path: str | os.PathLike[str]) -> None:
    """Write the log of a record, whole or not at all. FileError as `atomic_write`."""
    text = encode_sarif(record)
    with atomic_write(path) as file:
        file.write_text(text + "\n", encoding="utf-8")


def _findings(check: CheckRecord) -> Iterator[tuple[Finding, str]]:
    """The findings of a check, and what their file is relative to."""
    own = check.details.of(Finding)
    yield from ((finding, _ROOT) for finding in own)
    if own or check.status not in (Status.FAILED, Status.ERROR):
        return
    reason = check.reason or check.summary
    if (seen := _VERILATOR.search(reason)) is not None:
        column = int(seen[3]) if seen[3] else None
        yield Finding("verilator/error", reason, seen[1], int(seen[2]), column), _DESIGN
    else:
        yield Finding("check/failed" if check.status is Status.FAILED else "check/error", reason, "", 1), _ROOT


def _uri(name: str) -> str:
    """A relative path as a URI reference."""
    return quote(name.replace(os.sep, "/"), safe="/")
