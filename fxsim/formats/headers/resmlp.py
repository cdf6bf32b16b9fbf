"""Published C headers of a ResMLP to a model and back.

`quant_params.h` holds weights, biases and shifts; `lerp_psa_params.h` the tables as [channel][point];
`lerp_psa_params_transposed.h` the same tables as [channel / 16][point][16], for a design with 16 lanes. The streaming
design has its matrices as [output][input], the SIMD design as [input][output]: which of the two a header uses can be
seen from any matrix that is not square, because the biases tell the number of outputs.
"""

import os
import re
from collections.abc import Mapping
from contextlib import ExitStack
from enum import StrEnum
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from fxsim.contract import TABLE_POINTS, TableRule, stored_points
from fxsim.errors import FileError, ModelError
from fxsim.families import TOLD_BY, ResMLPConfig, build_resmlp, recognise_resmlp, resmlp_parameters
from fxsim.formats.atomic import atomic_write
from fxsim.formats.headers.declarations import HeaderArray
from fxsim.formats.headers.text import Header, format_header, read_header
from fxsim.graph import Model, refuse_beyond_int8

PARAMETERS = "quant_params.h"
TABLES = "lerp_psa_params.h"
TRANSPOSED = "lerp_psa_params_transposed.h"
HEADER_FILES = (PARAMETERS, TABLES, TRANSPOSED)
"""Names of all files that make up a model's headers."""
LANES = 16
"""Lanes of the published SIMD design, and so channels side by side in the transposed tables that are written."""

_BLOCK = re.compile(r"blocks_\d+_")
_SUFFIX = {"weight": "w", "bias": "b", "shift": "s", "table": "lerp_lut"}


class MatrixLayout(StrEnum):
    """The order in which a header holds its matrices."""

    AUTO = "auto"
    """To be seen from the matrices that are not square."""
    OUT_IN = "out-in"
    """[output][input], as for the streaming design."""
    IN_OUT = "in-out"
    """[input][output], as for the SIMD design."""


def import_headers(
    folder: str | os.PathLike[str],
    layout: MatrixLayout | str = MatrixLayout.AUTO,
    rule: TableRule | str | None = None,
    name: str | None = None,
) -> Model:
    """The ResMLP of a folder of published headers, of any dimensions; PSA where a header of tables is there, else ReLU.

    `layout`: how matrices lie; under `auto` they must not all be square. `rule`: how tables are read; None takes it
    from the points stored: P + 1 are `endpoint`, 256 `full`, another power of two `clamp`, the published models' rule.
    `name`: the model's name, by default the folder's. Accumulators get the contract's widths.

    FileError names file, array, line and what was expected.
    """
    folder = Path(folder)
    layout = _layout(layout)
    if not folder.is_dir():
        raise FileError(f"{folder}: {'is not a folder' if folder.exists() else 'there is no such folder'}")
    header = read_header(folder / PARAMETERS)
    told = {dimension: _count(header, _array_name(f"{tap}.bias")) for dimension, tap in TOLD_BY.items()}
    # A link that leads nowhere is there, too: without it the model would pass for one without tables.
    table_headers = [read_header(p) for p in (folder / TABLES, folder / TRANSPOSED) if p.exists() or p.is_symlink()]
    if rule is not None and not table_headers:
        raise FileError(f"{folder}: edge rule '{rule}' was asked for, but there is neither {TABLES} nor {TRANSPOSED}")
    points, rule = _points(table_headers[0], rule) if table_headers else (0, None)
    try:
        config = ResMLPConfig(
            **told,
            values=_values(header, told["channels"]),
            blocks=len({match[0] for match in map(_BLOCK.match, header.arrays) if match}),
            points=points,
            rule=rule,
        )
    except ModelError as error:
        raise FileError(f"{folder}: {error}") from None

    # Shapes by published array name.
    expected = {_array_name(parameter): shape for parameter, shape in resmlp_parameters(config).items()}
    is_table = {name: name.endswith(_SUFFIX["table"]) for name in expected}
    layout, matrices = _matrices(header, {n: shape for n, shape in expected.items() if not is_table[n]}, layout)
    tables = [_tables(h, {n: shape for n, shape in expected.items() if is_table[n]}) for h in table_headers]
    _check_agreement(table_headers, tables)
    arrays = {**matrices, **(tables[0] if tables else {})}
    try:
        graph = build_resmlp(config, {p: arrays[_array_name(p)] for p in resmlp_parameters(config)})
    except ModelError as error:
        raise FileError(f"{folder}: {error}") from None
    folder_name = _text(folder.resolve().name)
    provenance = {
        "source": f"C headers in folder {folder_name}",
        "layout": str(layout),
        **{f"sha256 of {h.path.name}": h.sha256 for h in (header, *table_headers)},
    }
    return Model(graph, name or folder_name, provenance)


def export_headers(
    model: Model, folder: str | os.PathLike[str], layout: MatrixLayout | str = MatrixLayout.OUT_IN
) -> tuple[Path, ...]:
    """Write a ResMLP as published headers and return their paths.

    `layout` `out-in` writes matrices as [output][input] and tables as [channel][point]. `in-out` writes matrices as
    [input][output], and tables both ways, transposed ones in lanes of 16 where all channel counts are multiples of 16.
    Headers state neither the edge rule nor accumulator widths. FileError where the model is no ResMLP, or where the
    folder holds one of the headers that would not be replaced: a later import would mix the two.
    """
    layout = _layout(layout)
    if layout is MatrixLayout.AUTO:
        raise FileError(f"headers are written as '{MatrixLayout.OUT_IN}' or '{MatrixLayout.IN_OUT}', not '{layout}'")
    try:
        config = recognise_resmlp(model.graph)
        refuse_beyond_int8(model.graph, "a C header")
    except ModelError as error:
        raise FileError(f"model '{model.name}' cannot be written as headers: {error}") from None
    parameters: dict[str, npt.NDArray[Any]] = {}
    tables: dict[str, npt.NDArray[Any]] = {}
    for parameter in resmlp_parameters(config):
        tap, field = parameter.rsplit(".", 1)
        array = getattr(model.graph.by_name[tap].op, field)
        if field == "table":
            tables[_array_name(parameter)] = array
        else:
            parameters[_array_name(parameter)] = array.T if layout is MatrixLayout.IN_OUT else array
    texts = {PARAMETERS: format_header(PARAMETERS, parameters)}
    if tables:
        texts[TABLES] = format_header(TABLES, tables)
        if layout is MatrixLayout.IN_OUT and config.channels % LANES == 0 and config.hidden % LANES == 0:
            texts[TRANSPOSED] = format_header(TRANSPOSED, {n: _to_lanes(table) for n, table in tables.items()})

    folder = Path(folder)
    for file in HEADER_FILES:
        if file not in texts and (folder / file).exists():
            raise FileError(f"{folder / file}: would stay beside the new headers, and be read with them; remove it")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(f"cannot write {folder}: {error.strerror or error}") from None
    with ExitStack() as stack:
        for file, text in texts.items():
            stack.enter_context(atomic_write(folder / file)).write_text(text, encoding="ascii")
    return tuple(folder / file for file in texts)


def _layout(layout: MatrixLayout | str) -> MatrixLayout:
    if layout not in tuple(MatrixLayout):
        raise FileError(f"there is no layout '{layout}'; there are: {', '.join(MatrixLayout)}")
    return MatrixLayout(layout)


def _array_name(parameter: str) -> str:
    """Published name of a parameter: `blocks.0.mlp.linear_1.weight` is `blocks_0_mlp_linear_1_w`."""
    tap, field = parameter.rsplit(".", 1)
    linear = "_linear" if tap in ("embed", "classifier") else ""
    return f"{tap.replace('.', '_')}{linear}_{_SUFFIX[field]}"


def _dims(shape: tuple[int, ...]) -> str:
    return "".join(f"[{n}]" for n in shape)


def _fail(header: Header, name: str, message: str) -> NoReturn:
    raise FileError(f"{header.path}: line {header.arrays[name].line}: array '{name}' {message}")


def _array(header: Header, name: str, expected: str) -> HeaderArray:
    if name not in header.arrays:
        raise FileError(f"{header.path}: array '{name}' is missing, expected {expected}")
    return header.arrays[name]


def _count(header: Header, name: str) -> int:
    """Number of outputs, as a bias tells it."""
    shape = _array(header, name, "one bias for each output").values.shape
    if len(shape) != 1:
        _fail(header, name, f"has shape {_dims(shape)}, expected one dimension")
    return int(shape[0])


def _values(header: Header, channels: int) -> int:
    """Number of values of a token: the side of the embedding's matrix that is not its outputs."""
    name = _array_name("embed.weight")
    shape = _array(header, name, f"one row or column of weights for each of {channels} biases").values.shape
    if len(shape) != 2 or channels not in shape:
        _fail(header, name, f"has shape {_dims(shape)}, expected two dimensions, one of them [{channels}] as its bias")
    return int(shape[0] if shape[1] == channels else shape[1])


def _check_names(header: Header, expected: Mapping[str, tuple[int, ...]]) -> None:
    """The header has these arrays and no others, of the right type."""
    for name, shape in expected.items():
        dtype = _array(header, name, f"shape {_dims(shape)}").values.dtype
        wanted = np.uint8 if name.endswith("_s") else np.int8
        if dtype != wanted:
            _fail(header, name, f"holds {dtype} values, expected {np.dtype(wanted)}")
    for name in header.arrays:
        if name not in expected:
            _fail(header, name, "does not belong to a ResMLP of these dimensions")


def _matrices(
    header: Header, expected: Mapping[str, tuple[int, ...]], layout: MatrixLayout
) -> tuple[MatrixLayout, dict[str, npt.NDArray[Any]]]:
    """Weights, biases and shifts as [output][input], and the layout they were found in."""
    _check_names(header, expected)
    told_by = None
    for name, shape in expected.items():
        found = header.arrays[name].values.shape
        if found not in (shape, shape[::-1]):
            either = f" or {_dims(shape[::-1])}" if len(shape) == 2 and shape[0] != shape[1] else ""
            _fail(header, name, f"has shape {_dims(found)}, expected {_dims(shape)}{either}")
        if shape == shape[::-1]:
            continue
        this = MatrixLayout.OUT_IN if found == shape else MatrixLayout.IN_OUT
        if layout is MatrixLayout.AUTO:
            layout, told_by = this, name
        elif this is not layout:
            reason = f"'{told_by}' tells" if told_by else "was asked for"
            _fail(header, name, f"has shape {_dims(found)}, which is '{this}', but '{layout}' is what {reason}")
    if layout is MatrixLayout.AUTO:
        raise FileError(
            f"{header.path}: all matrices are square, so that their layout cannot be seen; "
            f"state it as '{MatrixLayout.OUT_IN}' or '{MatrixLayout.IN_OUT}'"
        )
    arrays = {name: header.arrays[name].values for name in expected}
    return layout, {name: array.T if layout is MatrixLayout.IN_OUT else array for name, array in arrays.items()}


def _points(header: Header, rule: TableRule | str | None) -> tuple[int, TableRule]:
    """Points and rule of a header's tables, as its first array has them."""
    name = _array_name("blocks.0.mlp.psa_1.table")
    shape = _array(header, name, "the table of the first activation").values.shape
    if len(shape) != (3 if header.path.name == TRANSPOSED else 2):
        _fail(header, name, f"has shape {_dims(shape)}, expected {_form(header)}")
    stored = int(shape[1])
    if rule is None:
        if stored - 1 in TABLE_POINTS:
            rule = TableRule.ENDPOINT
        else:
            rule = TableRule.FULL if stored == 256 else TableRule.CLAMP
    if rule not in tuple(TableRule):
        raise FileError(f"there is no edge rule '{rule}'; there are: {', '.join(TableRule)}")
    rule = TableRule(rule)
    legal = {stored_points(p, rule): p for p in ((256,) if rule is TableRule.FULL else TABLE_POINTS)}
    if stored not in legal:
        numbers = ", ".join(map(str, legal))
        _fail(header, name, f"has {stored} points a channel, expected one of {numbers} under edge rule '{rule}'")
    return legal[stored], rule


def _form(header: Header) -> str:
    return "[channels / lanes][points][lanes]" if header.path.name == TRANSPOSED else "[channels][points]"


def _tables(header: Header, expected: Mapping[str, tuple[int, ...]]) -> dict[str, npt.NDArray[Any]]:
    """Tables as [channel][point], from either kind of header."""
    _check_names(header, expected)
    tables = {}
    for name, shape in expected.items():
        table = header.arrays[name].values
        if header.path.name == TRANSPOSED and table.ndim == 3:
            table = table.transpose(0, 2, 1).reshape(-1, table.shape[1])
        if table.shape != shape:
            found = _dims(header.arrays[name].values.shape)
            _fail(header, name, f"has shape {found}, expected {_form(header)} of {shape[0]} and {shape[1]}")
        tables[name] = table
    return tables


def _check_agreement(headers: list[Header], tables: list[dict[str, npt.NDArray[Any]]]) -> None:
    """Check that, where both kinds of table header are there, they hold the same tables."""
    if len(headers) < 2:
        return
    for name, table in tables[0].items():
        different = np.argwhere(table != tables[1][name])
        if len(different):
            channel, point = different[0]
            _fail(
                headers[1],
                name,
                f"has {tables[1][name][channel, point]} for channel {channel}, point {point}, expected "
                f"{table[channel, point]} as in {headers[0].path.name}",
            )


def _to_lanes(table: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """[channel][point] to [channel / 16][point][16]."""
    return table.reshape(-1, LANES, table.shape[1]).transpose(0, 2, 1)


def _text(name: str) -> str:
    """A file's name as valid Unicode, whatever bytes it has."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")
