"""Co-simulates a model in units on a Dask cluster of processes: MODEL IMAGES.npy UNITS WORKERS, or UNITS ADDRESS.

Units are requests that run anywhere; their results are put together to that of one simulator. Prints it as JSON, with
what it took. Needs the extra `cluster`. ADDRESS: of a scheduler that runs, whose workers see the files by these paths.
"""

import json
import os
import sys
import time
from pathlib import Path

import msgspec
import numpy as np
from distributed import Client, LocalCluster, Security

from fxsim import load
from fxsim.cosim import CosimRequest, CosimResult, join_cosim, run_cosim, split_cosim


def make_request(model: str, images: str, units: int) -> CosimRequest:
    """The whole co-simulation; images are read where they are needed."""
    return CosimRequest(load(model), np.load(images, mmap_mode="r", allow_pickle=False), jobs=units)


def run_unit(model: str, images: str, units: int, number: int) -> tuple[CosimResult, float]:
    """One unit's result, and the processor's seconds for it, of the simulator and the compiler too."""
    before = sum(os.times()[:4])
    result = run_cosim(split_cosim(make_request(model, images, units))[number])
    return result, sum(os.times()[:4]) - before


def main() -> None:
    """Hand the units to the workers, and put their results together."""
    model, images = (str(Path(name).resolve()) for name in sys.argv[1:3])
    units, where = int(sys.argv[3]), sys.argv[4]
    request = make_request(model, images, units)
    if where.isdecimal():
        # TLS: without it any user of this machine could have the workers do anything.
        cluster = LocalCluster(
            int(where), threads_per_worker=1, processes=True, host="127.0.0.1", protocol="tls://",
            security=Security.temporary(), dashboard_address=None, worker_dashboard_address=None, memory_limit=0,
        )  # fmt: skip
        client = Client(cluster)
    else:
        client = Client(where)
    with client:
        began = time.monotonic()
        numbers = range(len(split_cosim(request)))
        ran = client.gather([client.submit(run_unit, model, images, units, n, pure=False) for n in numbers])
        seconds = time.monotonic() - began
    if where.isdecimal():
        cluster.close()
    result = join_cosim(request, [result for result, _ in ran])
    told = {
        "builds": sum(not result.build.build_cached for result, _ in ran),
        "build_seconds": max(result.build.build_seconds for result, _ in ran),
        "seconds": round(seconds, 3),
        "unit_cpu_seconds": [round(cpu, 3) for _, cpu in ran],
        "unit_simulation_cpu_seconds": [result.timing.simulation_cpu_seconds for result, _ in ran],
        "result": msgspec.to_builtins(result.flat()),
    }
    print(json.dumps(told))
    sys.exit(0 if result.passed else 1)


if __name__ == "__main__":
    main()
