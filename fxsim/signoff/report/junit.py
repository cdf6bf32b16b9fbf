"""A record as JUnit XML: a case a check, its kind as the class; every failure with the command that repeats it."""

import os
import re
from pathlib import Path

from junitparser import Error, Failure, JUnitXml, Skipped, TestCase, TestSuite

from fxsim.formats import atomic_write
from fxsim.signoff.record import REPLAY_SCRIPT, CheckRecord, SignoffRecord, Status

_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 cannot hold."""
_RESULTS = {Status.FAILED: Failure, Status.ERROR: Error, Status.SKIPPED: Skipped, Status.REPORTED: Skipped}
"""JUnit knows no check that only reported something: it is skipped there, and says so."""


def render_junit(record: SignoffRecord, folder: Path | None = None) -> JUnitXml:
    """The suite of a record; `folder`: where record and failures lie, None where nothing was written."""
    suite = TestSuite(_plain(record.title))
    suite.timestamp = record.started
    suite.add_property("verdict", "passed" if record.passed else "failed" if record.complete else "incomplete")
    suite.add_property("checks in the plan", str(record.checks_in_plan))
    suite.add_property("stage", record.stage or "all")
    if record.testpoints:
        suite.add_property("stage reached", record.stage_reached or "none")
    for point in record.testpoints:
        told = f"{point.status} (stage {point.stage}, {point.passed} of {len(point.checks)} checks passed)"
        suite.add_property(f"testpoint {point.name}", told)
    suite.add_property("seed", str(record.seed))
    suite.add_property("commit of fxsim", record.commit.id)
    for repository in record.repositories:
        suite.add_property(f"commit of {_plain(repository.name)}", repository.id)
    for what, sha256 in record.hashes.items():
        suite.add_property(f"sha256 of {_plain(what)}", sha256)
    suite.add_testcases([_case(check, folder) for check in record.checks])
    suite.time = record.seconds
    xml = JUnitXml("fxsim signoff")
    xml.add_testsuite(suite)
    return xml


def write_junit(record: SignoffRecord, path: str | os.PathLike[str], folder: Path | None = None) -> None:
    """Write the suite of a record, whole or not at all. FileError as `atomic_write`."""
    with atomic_write(path) as file:
        render_junit(record, folder).write(str(file), pretty=True)


def _case(check: CheckRecord, folder: Path | None) -> TestCase:
    case = TestCase(check.name, check.kind, check.seconds)
    told = [check.about, check.summary, f"seed {check.seed}", f"again: {check.replay}"]
    if (result := _RESULTS.get(check.status)) is not None:
        reason = check.reason or check.summary
        if check.status is Status.REPORTED:
            reason = f"reported, which is no pass: {reason}"
        case.result = [result(_plain(reason), str(check.status))]
        case.result[0].text = _plain(f"{reason}\nagain: {check.replay}")
    if check.kept is not None and folder is not None:
        # As Jenkins and GitLab take attachments: a line each.
        kept = folder.resolve() / check.kept
        told += [f"kept, to repeat anywhere: {kept / REPLAY_SCRIPT}"]
        told += [f"[[ATTACHMENT|{file}]]" for file in sorted(kept.iterdir()) if file.is_file()]
    case.system_out = _plain("\n".join(line for line in told if line))
    return case


def _plain(text: str) -> str:
    return _FORBIDDEN.sub("\N{REPLACEMENT CHARACTER}", text)
