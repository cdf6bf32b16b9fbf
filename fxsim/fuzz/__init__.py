"""Random networks against everything that computes them: drawn, compared, audited, made small where they fail."""

from fxsim.fuzz.devices import GROUP as DEVICE_GROUP
from fxsim.fuzz.devices import DeviceRequest, run_devices
from fxsim.fuzz.examine import Examination, Failure, examine
from fxsim.fuzz.features import GROUPS as FEATURE_GROUPS
from fxsim.fuzz.features import Seen, features_of, percent, universe
from fxsim.fuzz.generate import GENERATOR, Case, Generator
from fxsim.fuzz.kept import KeptCase, keep, read_case, replay_command, write_script
from fxsim.fuzz.result import Found, FuzzResult, merge
from fxsim.fuzz.run import FuzzRequest, replay, run_fuzz
from fxsim.fuzz.shrink import Small, shrink
from fxsim.fuzz.takers import GROUPS as TAKER_GROUPS
from fxsim.fuzz.takers import Subject, Taker, find_takers

__all__ = [
    "DEVICE_GROUP",
    "FEATURE_GROUPS",
    "GENERATOR",
    "TAKER_GROUPS",
    "Case",
    "DeviceRequest",
    "Examination",
    "Failure",
    "Found",
    "FuzzRequest",
    "FuzzResult",
    "Generator",
    "KeptCase",
    "Seen",
    "Small",
    "Subject",
    "Taker",
    "examine",
    "features_of",
    "find_takers",
    "keep",
    "merge",
    "percent",
    "read_case",
    "replay",
    "replay_command",
    "run_devices",
    "run_fuzz",
    "shrink",
    "universe",
    "write_script",
]
