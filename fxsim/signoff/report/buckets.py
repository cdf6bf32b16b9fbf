"""Buckets of messages: checks that did not pass for what looks like one reason, told once.

Messages are alike where they are the same but for numbers, seeds, paths and hashes.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from fxsim.signoff.record import CheckRecord, Status

_REPLACED = (
    (re.compile(r"(?<![\w/.])(?:[\w.~+-]*/)+[\w.+-]+"), "PATH"),
    (re.compile(r"\b0[xX][0-9a-fA-F_]+\b"), "HEX"),
    # Hashes: digits of both kinds, so that no word is one.
    (re.compile(r"\b(?=[0-9a-f]*[0-9])(?=[0-9a-f]*[a-f])[0-9a-f]{8,64}\b"), "HEX"),
    # A number that ends a name (psa_1, blocks.0.add) is part of it no more than any other.
    (re.compile(r"[-+]?\d[\d,_]*(?:\.\d+)?(?:[eE][-+]?\d+)?"), "N"),
    (re.compile(r"\s+"), " "),
)
"""Patterns that are replaced in a message, one after the other, and by which word."""
_MESSAGE_MAX = 2000
"""Characters of a message by which it is told from others."""


@dataclass(frozen=True)
class Bucket:
    """Checks of one status whose messages are alike; the first one stands for them."""

    message: str
    status: Status
    checks: tuple[CheckRecord, ...]

    @property
    def first(self) -> CheckRecord:
        """The check whose message, replay command and seed are shown."""
        return self.checks[0]


def normalise(message: str) -> str:
    """A message without what differs between two failures of one cause."""
    message = message[:_MESSAGE_MAX]
    for pattern, word in _REPLACED:
        message = pattern.sub(word, message)
    return message.strip()


def find_buckets(checks: Sequence[CheckRecord], statuses: Sequence[Status]) -> list[Bucket]:
    """The buckets of the checks that ended so: in the order of the statuses, then the largest first."""
    buckets: list[Bucket] = []
    for status in statuses:
        alike: dict[str, list[CheckRecord]] = {}
        for check in checks:
            if check.status is status:
                alike.setdefault(normalise(check.reason or check.summary), []).append(check)
        found = [Bucket(message, status, tuple(of)) for message, of in alike.items()]
        buckets += sorted(found, key=lambda bucket: -len(bucket.checks))
    return buckets
