"""The command line. Each command is a file of its own, imported only when it is called."""

import logging
import os
import sys
from importlib import import_module
from typing import Any, NoReturn

import click

from fxsim.cli.console import say
from fxsim.errors import FxsimError
from fxsim.version import __version__

_COMMANDS = {
    "import": ("fxsim.cli.import_headers", "Read published C headers into a model file."),
    "export-headers": ("fxsim.cli.export_headers", "Write a model as C headers."),
    "export-onnx": ("fxsim.cli.export_onnx", "Write a model as a graph of standard ONNX operators."),
    "info": ("fxsim.cli.info", "Show a model's dimensions, operators, cost and proven widths."),
    "run": ("fxsim.cli.run", "Compute a model's taps for images."),
    "vectors": ("fxsim.cli.vectors", "Write test vectors for a simulator, or check written ones."),
    "memory-image": ("fxsim.cli.memory_image", "Write what the SIMD accelerator reads of a model, and its C header."),
    "cosim": ("fxsim.cli.cosim", "Simulate the RTL and compare every tap with the model."),
    "signoff": ("fxsim.cli.signoff", "Run a sign-off plan and write its record and report."),
    "flow": ("fxsim.cli.flow", "Run a recipe: train, distil, quantise, export, evaluate."),
    "train": ("fxsim.cli.train", "Train a float network, such as a teacher."),
    "distill": ("fxsim.cli.distill", "Train a student from a teacher."),
    "quantize": ("fxsim.cli.quantize", "Quantise a float network, with quantisation-aware training."),
    "export": ("fxsim.cli.export", "Write a quantised network as an integer model."),
    "eval": ("fxsim.cli.eval", "Accuracy of an integer model and of the networks it came from."),
    "bridge": ("fxsim.cli.bridge", "Attribute every difference between float fake-quant and integer model."),
    "tables": ("fxsim.cli.tables", "Compare table sizes, edge rules and ways to choose the points."),
    "fit": ("fxsim.cli.fit", "Draw the activations fitted to one-dimensional functions."),
    "bench": ("fxsim.cli.bench", "Measure fxsim on this machine."),
}
"""Command name: module that defines `command`, and the line `fxsim --help` shows for it without importing it."""


class _PipeClosedError(Exception):
    """A BrokenPipeError that click and rich do not see: they would exit with 1, which says that a check failed."""


class _Notes(logging.Handler):
    """Shows on standard error what fxsim logs: what takes seconds, and happens once."""

    def emit(self, record: logging.LogRecord) -> None:
        say(f"fxsim: {record.getMessage()}", err=True)


class _LazyGroup(click.Group):
    """Imports a command's module when the command is called: `fxsim --help` starts at once."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in _COMMANDS:
            return None
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
    is 0 only on success: 1 where a check failed or an input was bad, 2 where the command line was.
    """


def main(args: list[str] | None = None) -> Any:
    """Entry point: run the command line and exit with its status."""
    log = logging.getLogger("fxsim")
    if not log.handlers:
        log.addHandler(_Notes())
        log.setLevel(logging.INFO)
    try:
        # standalone_mode off: errors come here, so that fxsim's own get one line and no traceback.
        status = cli.main(args, prog_name="fxsim", standalone_mode=False) or 0
        # Here, not as Python ends, where a full disk would be nobody's error.
        _flush()
        sys.exit(status)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except FxsimError as error:
        _fail(str(error))
    except (KeyboardInterrupt, click.Abort):
        say("fxsim: interrupted", err=True)
        sys.exit(130)
    except (BrokenPipeError, _PipeClosedError):
        # Whoever read our output has seen enough (`fxsim info | head`).
        _discard_output()
        sys.stderr.close()
        sys.exit(141)
    except MemoryError as error:
        _fail(f"not enough memory: {error}" if str(error) else "not enough memory")
    except OSError as error:
        place = f"{error.filename}: " if error.filename is not None else ""
        _fail(f"{place}{error.strerror or error}")


def _flush() -> None:
    # None where the shell closed standard output.
    if sys.stdout is not None:
        sys.stdout.flush()


def _fail(message: str) -> NoReturn:
    say(f"fxsim: error: {message}", err=True)
    try:
        _flush()
    except OSError:
        _discard_output()
    sys.exit(1)


def _discard_output() -> None:
    """Drop what standard output would not take: Python would offer it again on its way out, and exit with 120."""
    if sys.stdout is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
