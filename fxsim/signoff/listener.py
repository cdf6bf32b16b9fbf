"""A listener: whoever shows what a run of a plan is doing."""

from typing import Protocol

from fxsim.signoff.plan import Check
from fxsim.signoff.record import CheckRecord


class Listener(Protocol):
    """A listener is told what a run is doing, in the thread that runs the plan."""

    def started(self, check: Check) -> None:
        """A check begins, perhaps beside others."""

    def progress(self, check: Check, done: int, total: int) -> None:
        """A check that runs has done so much."""

    def status(self, check: Check, text: str) -> None:
        """A check that runs says what it is doing, in words."""

    def ended(self, check: Check) -> None:
        """A check runs no more."""

    def finished(self, record: CheckRecord) -> None:
        """A check has its record, one way or another: in the plan's order, whichever ended first."""


class Silence:
    """A listener that does nothing."""

    def started(self, check: Check) -> None:
        """Say nothing."""

    def progress(self, check: Check, done: int, total: int) -> None:
        """Say nothing."""

    def status(self, check: Check, text: str) -> None:
        """Say nothing."""

    def ended(self, check: Check) -> None:
        """Say nothing."""

    def finished(self, record: CheckRecord) -> None:
        """Say nothing."""
