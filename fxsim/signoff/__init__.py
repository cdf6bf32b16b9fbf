"""Sign-off: a plan of checks, the record of a run, and the report drawn from the record."""

from fxsim.signoff.files import default_plan, load_plan, read_record, write_record
from fxsim.signoff.journal import JOURNAL, Journal, open_journal
from fxsim.signoff.listener import Listener
from fxsim.signoff.plan import Plan
from fxsim.signoff.record import CheckRecord, SignoffRecord, Status
from fxsim.signoff.report.page import RECORD, REPORT, prepare_output, render_report, write_both, write_report
from fxsim.signoff.run import run_plan

__all__ = [
    "JOURNAL",
    "RECORD",
    "REPORT",
    "CheckRecord",
    "Journal",
    "Listener",
    "Plan",
    "SignoffRecord",
    "Status",
    "default_plan",
    "load_plan",
    "open_journal",
    "prepare_output",
    "read_record",
    "render_report",
    "run_plan",
    "write_both",
    "write_record",
    "write_report",
]
