"""The program: its commands, each a file of its own that is imported only when it is called, and how it ends."""

import logging
import os
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from importlib import import_module
from typing import Any, NoReturn

import click

from fxsim.cli.console import say
from fxsim.cli.streams import guard_streams
from fxsim.errors import FxsimError
from fxsim.machine import one_blas_thread
from fxsim.process import exit_status, interruptible
from fxsim.progress import Pulse, note
from fxsim.version import __version__

_COMMANDS = {
    "import": ("fxsim.cli.import_model", "Read published C headers, or another format, into a model file."),
    "export-headers": ("fxsim.cli.export_headers", "Write a model as C headers."),
    "export-onnx": ("fxsim.cli.export_onnx", "Write a model as a graph of standard ONNX operators."),
    "export-c": ("fxsim.cli.export_c", "Write a model as C99, with a wrapper for SystemVerilog."),
    "images": ("fxsim.cli.images", "Write images for a model, from published samples or pictures."),
    "info": ("fxsim.cli.info", "Show a model's dimensions, operators, cost and proven widths."),
    "run": ("fxsim.cli.run", "Compute a model's taps for images."),
    "vectors": ("fxsim.cli.vectors", "Write test vectors for a simulator, or check written ones."),
    "compose": ("fxsim.cli.compose", "Compose an accelerator for a network of few bits from its graph."),
    "roms": ("fxsim.cli.roms", "Write the memory files that a design reads of a model."),
    "memory-image": ("fxsim.cli.memory_image", "Write what the SIMD accelerator reads of a model, and its C header."),
    "cosim": ("fxsim.cli.cosim", "Simulate the RTL and compare every tap with the model."),
    "lint-rtl": ("fxsim.cli.lint_rtl", "Hold the widths of the RTL to what a model needs, without simulating."),
    "area": ("fxsim.cli.area", "Count what the RTL takes of an FPGA, by synthesis."),
    "timing": ("fxsim.cli.timing", "Count levels of logic between the RTL's registers, by synthesis."),
    "waive": ("fxsim.cli.waive", "Write the waiver of Verilog that code coverage cannot reach."),
    "dut": ("fxsim.cli.dut", "Write or check the description of your own RTL for cosim."),
    "compare": ("fxsim.cli.compare", "Compare two sources of a model's values: engine, ONNX, network, trace."),
    "diff": ("fxsim.cli.diff", "Say where a trace differs from a model, and which rule makes it so."),
    "prove": ("fxsim.cli.prove", "Prove what holds for all inputs, and check the evidence of it again."),
    "mutate": ("fxsim.cli.mutate", "Put small faults into RTL and count those that the tests find."),
    "fuzz": ("fxsim.cli.fuzz", "Draw random networks, and compare everything that computes them."),
    "coverage": ("fxsim.cli.coverage", "Measure which points of the arithmetic are reached, and close the holes."),
    "sensitivity": ("fxsim.cli.sensitivity", "Rank what each rule, table size and bit of width is worth in accuracy."),
    "trace": ("fxsim.cli.trace", "Propose a map for a trace that another tool wrote."),
    "signoff": ("fxsim.cli.signoff", "Run a sign-off plan and write its record and report."),
    "certify": ("fxsim.cli.certify", "Write a certificate of a sign-off that passed."),
    "check-certificate": ("fxsim.cli.check_certificate", "Check a certificate, and all that it covers."),
    "flow": ("fxsim.cli.flow", "Run a recipe: train, distil, quantise, export, evaluate."),
    "train": ("fxsim.cli.train", "Train a float network, such as a teacher."),
    "distill": ("fxsim.cli.distill", "Train a student from a teacher."),
    "quantize": ("fxsim.cli.quantize", "Quantise a float network, with quantisation-aware training."),
    "export": ("fxsim.cli.export", "Write a quantised network as an integer model."),
    "eval": ("fxsim.cli.eval", "Accuracy of an integer model and of the networks it came from."),
    "bridge": ("fxsim.cli.bridge", "Attribute every difference between float fake-quant and integer model."),
    "steps": ("fxsim.cli.steps", "Measure quantisation error over the steps of a Neural ODE."),
    "tables": ("fxsim.cli.tables", "Compare table sizes, edge rules and ways to choose the points."),
    "fit": ("fxsim.cli.fit", "Draw the activations fitted to one-dimensional functions."),
    "bench": ("fxsim.cli.bench", "Measure fxsim on this machine."),
}
"""Command name: module that defines `command`, and the line `fxsim --help` shows for it without importing it."""


_SMALL_PRODUCTS = {"diff", "sensitivity"}
"""Commands that multiply many small matrices: on one thread, which is to be said before numpy is imported."""

OUTPUT_LOST = 74
"""Exit status where all was done, but standard output did not take what was to be printed; EX_IOERR of sysexits.h."""


class _PipeClosedError(Exception):
    """A BrokenPipeError that click and rich do not see: they would exit with 1, which says that a check failed."""


class _Notes(logging.Handler):
    """Shows on standard error what fxsim logs: what takes seconds, and happens once."""

    def emit(self, record: logging.LogRecord) -> None:
        say(f"fxsim: {record.getMessage()}", err=True)
        note(record.getMessage())


class _LazyGroup(click.Group):
    """Imports a command's module when the command is called: `fxsim --help` starts at once."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in _COMMANDS:
            return None
        if cmd_name in _SMALL_PRODUCTS:
            one_blas_thread()
        command: click.Command = import_module(_COMMANDS[cmd_name][0]).command
        return command

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise _PipeClosedError from None
        except SystemExit as end:
            # Rich's way to end on a broken pipe.
            if isinstance(end.__context__, BrokenPipeError):
                raise _PipeClosedError from None
            raise

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in _COMMANDS.items()])


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__)
def cli() -> None:
    """Bit-exact fixed-point simulation and RTL sign-off of quantised neural networks.

    A model is one file (import it with `fxsim import`). Images are .npy files, int8 [image, token, value]. Exit status
    is 0 only on success: 1 where a check failed or an input was bad, 2 where the command line was, 74 where standard
    output could not be written, 130 after Ctrl-C.
    """


def run(args: list[str] | None = None) -> NoReturn:
    """Run the command line and exit with its status: of this process where `args` is None."""
    log = logging.getLogger("fxsim")
    if not log.handlers:
        log.addHandler(_Notes())
        log.setLevel(logging.INFO)
    lost: Callable[[], OSError | None] = guard_streams() if args is None else lambda: None
    status = _carry_out(args)
    try:
        # Here, not as Python ends, where a pipe that was closed would be nobody's error.
        sys.stdout.flush()
    except BrokenPipeError:
        status = status or _end_quietly()
    if (error := lost()) is not None:
        say(f"fxsim: error: standard output: {error.strerror}", err=True)
        status = status or OUTPUT_LOST
    sys.exit(status)


def _carry_out(args: list[str] | None) -> int:
    """The exit status of a command line that was carried out, with one line on standard error where it failed."""
    try:
        with interruptible(), _pulse(args):
            # standalone_mode off: errors come here, so that fxsim's own get one line and no traceback.
            status = cli.main(args, prog_name="fxsim", standalone_mode=False) or 0
        return int(status)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0 if end.code is None else _fail(str(end.code))
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except FxsimError as error:
        return _fail(str(error))
    except (KeyboardInterrupt, click.Abort):
        status, word = exit_status()
        say(f"fxsim: {word}", err=True)
        return status
    except (BrokenPipeError, _PipeClosedError):
        return _end_quietly()
    except MemoryError as error:
        return _fail(f"not enough memory: {error}" if str(error) else "not enough memory")
    except OSError as error:
        place = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, str | bytes) else ""
        return _fail(f"{place}{error.strerror or error}")


def _pulse(args: list[str] | None) -> AbstractContextManager[object]:
    """Lines about long work where no terminal shows it, of a program alone: not where another one called `main`."""
    if args is not None or sys.stderr.isatty():
        return nullcontext()
    command = next((word for word in sys.argv[1:] if word in _COMMANDS), "running")
    return Pulse(lambda line: say(line, err=True), command)


def _fail(message: str) -> int:
    say(f"fxsim: error: {message}", err=True)
    return 1


def _end_quietly() -> int:
    """The exit status where whoever read our output has seen enough (`fxsim info | head`), and nothing more is said."""
    # Python would offer what is left again on its way out, and exit with 120.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
    return 141
