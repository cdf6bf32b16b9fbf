"""`fxsim diff --between`: two named contracts, told apart by an input or proved the same."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fxsim.cli.console import print_json, say
from fxsim.errors import FileError

if TYPE_CHECKING:
    from fxsim.contract.arithmetic import Integers
    from fxsim.explain.between import Between
    from fxsim.explain.telling import Teller

ACC_BITS_MAX = 60

_OPTIONS = (
    click.option(
        "--between", nargs=2, metavar="A B", default=None,
        help="Two named contracts: an input on which they differ at --node, or of --acc-bits, or the proof of none.",
    ),
    click.option("--node", metavar="NAME", help="Operator of MODEL that --between is about."),
    click.option(
        "--acc-bits", metavar="N", type=click.IntRange(1, ACC_BITS_MAX), help="Signed width of sums, without a model."
    ),
    click.option("--shift", metavar="N", type=click.IntRange(0, 255), help="Shift of --acc-bits.  [default: 0]"),
    click.option("--bias", metavar="N", type=int, help="Bias of --acc-bits, at the result's scale.  [default: 0]"),
    click.option("--out", "out", metavar="NUMBER", help="Result of --acc-bits, such as int8.  [default: int8]"),
    click.option(
        "--multiplier", metavar="M", type=int,
        help="Factor of --acc-bits times 2^(30 + shift), 2^30 to 2^31 - 1; the bias is then the accumulator's.",
    ),
)  # fmt: skip


def between_options(command: Callable[..., None]) -> Callable[..., None]:
    """A command with the options of `--between`, which it takes as keywords."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def check_alone(model: Path | None, others: Iterable[Any], given: dict[str, Any]) -> bool:
    """Whether contracts are compared; UsageError where options do not belong together. `others`: of traces."""
    setting = [given[name] for name in ("acc_bits", "shift", "bias", "out", "multiplier")]
    if given["between"] is None:
        if given["node"] is not None or any(value is not None for value in setting):
            raise click.UsageError("--node, --acc-bits and what goes with it belong to --between")
        if model is None:
            raise click.UsageError("expected MODEL")
        return False
    if any(value is not None for value in others):
        raise click.UsageError("--between takes no trace")
    if (model is None) != (given["node"] is None) or (model is None) != (given["acc_bits"] is not None):
        raise click.UsageError("--between takes MODEL with --node, or --acc-bits")
    if model is not None and any(value is not None for value in setting):
        raise click.UsageError("--shift, --bias, --out and --multiplier are those of MODEL's node")
    return True


def compare_contracts(model: Path | None, given: dict[str, Any], output: Path | None, as_json: bool) -> bool:
    """Whether two contracts are proved the same; says so, and writes the input on which they differ."""
    import msgspec
    import numpy as np

    from fxsim.contract import Number
    from fxsim.explain.between import between, between_at
    from fxsim.explain.contracts import ONE
    from fxsim.explain.contracts.runs import Setting
    from fxsim.explain.telling import Teller
    from fxsim.formats import load

    first, second = given["between"]
    inputs: dict[str, Integers] = {}
    if model is None:
        half = 1 << given["acc_bits"] - 1
        out = Number.parse(given["out"] or "int8")
        multiplier = ONE if given["multiplier"] is None else given["multiplier"]
        setting = Setting(-half, half - 1, given["shift"] or 0, given["bias"] or 0, out, multiplier)
        found = between(first, second, setting)
    else:
        found, inputs = between_at(load(model), given["node"], first, second)
    teller = Teller()
    found = msgspec.structs.replace(found, files=teller.keep(inputs))
    if output is not None:
        write_telling(output, teller)
    if as_json:
        print_json(found)
    else:
        say(between_words(found))
        for name, values in inputs.items():
            nonzero = np.count_nonzero(values)
            say(f"  input {name}: {nonzero:,} of {values.size:,} values are not zero; {found.files[name]} of -o")
    return found.equal is True


def write_telling(folder: Path, teller: "Teller") -> None:
    """Write inputs that tell apart: `telling.npy`, images, and a file for each input of operators."""
    import numpy as np

    from fxsim.explain.telling import IMAGES_FILE
    from fxsim.formats import atomic_write

    arrays = dict(teller.operands)
    if teller.images:
        arrays[IMAGES_FILE] = np.stack(teller.images)
    if not arrays:
        say(f"{folder}: nothing to write, no input was needed or found", err=True)
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(f"cannot write the folder {folder}: {error.strerror or error}") from error
    for name, values in arrays.items():
        with atomic_write(folder / name) as made, made.open("wb") as stream:
            np.save(stream, values)


def between_words(found: "Between") -> str:
    """A sentence about two contracts."""
    a, b = found.contracts
    where = "" if found.node is None else f" at {found.node}"
    if found.results is not None:
        at = "" if found.index is None else f" at {', '.join(f'{k} {v}' for k, v in found.index.items())}"
        one, other = found.results
        return f"{a} and {b} differ{where}: the sum {found.accumulator} gives {one} and {other}{at}"
    if found.equal:
        return f"{a} and {b} are the same{where}: {found.why}"
    return f"{a} and {b}{where}: not decided; {found.why}"
