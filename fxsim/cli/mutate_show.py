"""`fxsim mutate`: what is asked for, judged, printed and written."""

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from fxsim.cli.console import print_json, print_table, progress, say
from fxsim.devices import DESCRIBED
from fxsim.errors import FileError
from fxsim.formats import atomic_write
from fxsim.mutation import python_run
from fxsim.mutation.record import SURVIVED, TIMED_OUT, Record
from fxsim.mutation.run import Candidates, Request, mutate
from fxsim.mutation.text import COLUMNS, cells, diff, markdown

if TYPE_CHECKING:
    from fxsim.mutation.whole import Design

ASKED, RECORD, SUMMARY = "asked.json", "mutation.json", "mutation.md"
_ASKED_BYTES_MAX = 1 << 20
_SURVIVORS_SHOWN = 40


class Asked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The request in words, as a run that goes on with it reads it."""

    rtl: str | None
    accel: str | None
    modules: tuple[str, ...]
    count: int
    seed: int
    only: tuple[str, ...]
    others: bool
    dut: str | None = None
    model: str | None = None
    images: str | None = None
    python: bool = False
    whole: bool = False

    def python_request(self, jobs: int = 1, fresh: bool = False) -> python_run.Request:
        """The request, for mutants of Python."""
        return python_run.Request(
            modules=self.modules, count=self.count, seed=self.seed, only=self.only, others=self.others, jobs=jobs,
            fresh=fresh,
        )  # fmt: skip

    def request(self, jobs: int = 1, fresh: bool = False) -> Request:
        """The request."""
        own = {} if self.rtl is None else {"rtl": Path(self.rtl)}
        return Request(
            accelerator=self.accel, modules=self.modules, count=self.count, seed=self.seed, only=self.only,
            others=self.others, jobs=jobs, fresh=fresh, **own,
        )  # fmt: skip

    @property
    def command(self) -> str:
        """The command that asks for this."""
        words = ["fxsim mutate", *(() if self.rtl is None else ("DIR",))]
        words += ["--python"] if self.python else []
        own = (("dut", self.dut), ("model", self.model), ("images", self.images))
        words += [f"--{option} {Path(value).name}" for option, value in own if value is not None]
        words += [] if self.accel is None else [f"--accel {self.accel}"]
        words += [f"--module {name}" for name in self.modules] + [f"--id {name}" for name in self.only]
        words += [f"--count {self.count} --seed {self.seed}"] + ([] if self.others else ["--no-others"])
        words += ["--whole"] if self.whole else []
        return " ".join(words)

    def design(self) -> "Design | None":
        """The described design whose Verilog is mutated; None where that is an accelerator's."""
        from fxsim.mutation.whole import Design

        if self.dut is None or self.model is None or self.images is None:
            return None
        return Design(Path(self.model), Path(self.images), DESCRIBED, {"dut": self.dut})


def show_list(asked: Asked, as_json: bool) -> int:
    """List the mutants of a request; the exit status."""
    from fxsim.mutation.whole import draw_design

    request, design = asked.request(), asked.design()
    if asked.python:
        wanted = asked.python_request()
        drawn = python_run.Candidates(wanted).draw(wanted)
    else:
        drawn = Candidates(request).draw(request) if design is None else draw_design(design, request)
    if as_json:
        print_json([msgspec.to_builtins(vars(mutant)) for mutant in drawn])
        return 0
    for mutant in sorted(drawn, key=lambda mutant: (mutant.file, mutant.start, mutant.becomes)):
        say(str(mutant))
    return 0


def show(asked: Asked, jobs: int, resume: bool, fresh: bool, output: Path | None, as_json: bool) -> int:
    """Judge the mutants of a request, print and write the record; the exit status."""
    from fxsim.mutation.whole import Accelerators, mutate_design

    if output is not None:
        asked = _asked(asked, output, resume)
    request, design = asked.request(jobs, fresh), asked.design()
    with progress("mutants") as report:
        if asked.python:
            record = python_run.mutate_python(asked.python_request(jobs, fresh), progress=report)
        elif design is None:
            judges = (lambda stop: Accelerators(request.rtl, stop, fresh)) if asked.whole else None
            record = mutate(request, progress=report, whole=judges)
        else:
            record = mutate_design(design, request, progress=report)
    return _show(record, asked.command, output, as_json)


def _show(record: Record, command: str, output: Path | None, as_json: bool) -> int:
    if output is not None:
        output.mkdir(parents=True, exist_ok=True)
        _write(output / RECORD, msgspec.json.format(msgspec.json.encode(record)) + b"\n")
        _write(output / SUMMARY, markdown(record, command).encode())
    if as_json:
        print_json(record)
    else:
        _print(record)
    total = record.total
    # Where all were invalid, nothing was judged.
    return int(total.survived + total.timed_out > 0 or total.invalid == total.mutants)


def _asked(asked: Asked, output: Path, resume: bool) -> Asked:
    """The request: written to the folder, or read from it to go on."""
    place = output / ASKED
    if not resume:
        output.mkdir(parents=True, exist_ok=True)
        _write(place, msgspec.json.encode(asked) + b"\n")
        return asked
    try:
        if place.stat().st_size > _ASKED_BYTES_MAX:
            raise FileError(f"{place} has more than {_ASKED_BYTES_MAX:,} bytes")
        return msgspec.json.decode(place.read_bytes(), type=Asked)
    except OSError as error:
        raise FileError(f"{place} cannot be read, so there is nothing to resume: {error.strerror}") from None
    except msgspec.DecodeError as error:
        raise FileError(f"{place} is not what `fxsim mutate -o` wrote: {error}") from None


def _write(path: Path, content: bytes) -> None:
    with atomic_write(path) as file:
        file.write_bytes(content)


def _print(record: Record) -> None:
    rows = [(row.name, *cells(row)) for row in (*record.modules, record.total)]
    print_table(f"Mutants of {record.design}", ("module", *COLUMNS), rows)
    alive = [row for row in record.mutants if row.verdict in (SURVIVED, TIMED_OUT)]
    for row in alive[:_SURVIVORS_SHOWN]:
        line, change = diff(row)
        say(f"{row.verdict}: {row.id} {row.file}:{row.line} ({row.kind})")
        say(f"    {line}")
        say(f"    {change}")
    if len(alive) > _SURVIVORS_SHOWN:
        say(f"and {len(alive) - _SURVIVORS_SHOWN} more")
    total = record.total
    say(
        f"{total.mutants:,} of {record.candidates:,} mutants: {total.killed:,} killed, {total.survived:,} survived, "
        f"{total.timed_out:,} timed out, {total.equivalent:,} equivalent, {total.invalid:,} invalid"
    )
