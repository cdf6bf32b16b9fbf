"""Seeds of everything random in the testbenches: one base, and a generator of its own for each test."""

import logging
import os
import zlib

import numpy as np

BASE_SEED = int(os.environ.get("FXSIM_SEED", "20250218"))

_log = logging.getLogger("test.seeds")


def generator(name: str) -> np.random.Generator:
    """The generator of the test called `name`: its seed is the base plus a hash of the name, and is logged."""
    seed = BASE_SEED + zlib.crc32(name.encode())
    _log.info("seed of %s: %d (FXSIM_SEED=%d)", name, seed, BASE_SEED)
    return np.random.default_rng(seed)
