"""The testbench of any described design, of streams or of jobs: from it kits and runs in four states are made."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from fxsim.contract.arithmetic import Integers
from fxsim.devices.described.bind import Bound, bind
from fxsim.devices.described.description import read_description
from fxsim.devices.described.jobs.bind import BoundJobs, bind_jobs
from fxsim.devices.described.jobs.kit import jobs_bench, jobs_streams
from fxsim.devices.described.jobs.layout import JobsLayout
from fxsim.devices.described.kit import Bench, KitStream, kit_streams, stream_bench, write_files
from fxsim.devices.described.layout import DescribedLayout
from fxsim.engines import Engine, run
from fxsim.errors import StimulusError
from fxsim.graph import Model

_VALUES_MAX = 1 << 24
"""Most values of stimulus and output, and bytes of memories, together: the files are text."""


@dataclass(frozen=True)
class Testbench:
    """A described design's testbench before it is written: `make` writes it for images and the values of taps.

    `size`: values that go into its files for each image; `bytes`: of memories, which it has once.
    """

    bound: Bound | BoundJobs
    layout: DescribedLayout | JobsLayout
    streams: tuple[KitStream, ...]
    size: int
    bytes: int
    make: Callable[[Integers, Mapping[str, Integers]], Bench]


def testbench_of(bound: Bound | BoundJobs, model: Model) -> Testbench:
    """The testbench of a bound design. StimulusError where there is none: a latency that is to be found."""
    if isinstance(bound, Bound):
        streams = kit_streams(bound)
        layout = DescribedLayout(model, tuple(tap.name for tap in bound.taps), bound)
        size = sum(beats.tensor.size for beats in (*(s.beats for s in bound.inputs), *(s.beats for s in streams)))
        return Testbench(bound, layout, streams, size, 0, lambda x, values: stream_bench(layout, x, values))
    jobs = JobsLayout(model, bound.shown, bound)
    streams = jobs_streams(jobs)
    return Testbench(
        bound,
        jobs,
        streams,
        jobs.content_bytes,
        sum(region.words * region.word_bytes for region in bound.regions),
        lambda x, values: jobs_bench(jobs, x, values),
    )


def write_kit(path: Path, model: Model, x: Integers, engine: Engine | str, folder: Path, base: Path) -> None:
    """Write the kit of the description at `path` into a folder that holds its Verilog in `rtl` and its memory files.

    `base`: the folder of the copy of the description, in which its sources are. StimulusError where the images are too
    many for files of text.
    """
    bound = (bind_jobs if read_description(path).has_jobs else bind)(path, model, base)
    testbench = testbench_of(bound, model)
    if len(x) * testbench.size + testbench.bytes > _VALUES_MAX:
        raise StimulusError(f"{len(x)} images have more than {_VALUES_MAX:,} values, the most that a kit takes")
    values = run(model, x, testbench.layout.needed, engine)
    write_files(bound, testbench.make(x, values), values, len(x), folder)
