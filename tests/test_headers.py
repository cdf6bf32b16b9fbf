"""Published C headers: the reader's text, the import, the export, and everything that can be wrong with a header."""

import json
import math
import re
import subprocess
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fxsim.contract import TableRule
from fxsim.errors import FileError
from fxsim.families import ResMLPConfig, recognise_resmlp
from fxsim.formats import load, model_sha256, save
from fxsim.formats.headers import MatrixLayout, export_headers, import_headers, read_header_arrays
from fxsim.formats.headers.text import HEADER_BYTES_MAX
from fxsim.graph import Model
from fxsim.operators import Axis, Linear, Lut, Pool
from tests.strategies import resmlp_configs, resmlp_models

Arrays = dict[str, np.ndarray[Any, Any]]

# A model of one block, none of whose matrices but the token mixer's is square: array name, shape, unsigned.
SHAPES: dict[str, tuple[int, ...]] = {
    "embed_linear_w": (4, 3),
    "embed_linear_b": (4,),
    "embed_linear_s": (4,),
    **{f"blocks_0_token_mixer_{part}_{f}": (4,) for part in ("res_affine", "affine_1", "affine_2") for f in "wbs"},
    "blocks_0_token_mixer_linear_w": (2, 2),
    "blocks_0_token_mixer_linear_b": (2,),
    "blocks_0_token_mixer_linear_s": (2,),
    **{f"blocks_0_mlp_res_affine_{f}": (4,) for f in "wbs"},
    "blocks_0_mlp_linear_1_w": (6, 4),
    "blocks_0_mlp_linear_1_b": (6,),
    "blocks_0_mlp_linear_1_s": (6,),
    "blocks_0_mlp_linear_2_w": (4, 6),
    "blocks_0_mlp_linear_2_b": (4,),
    "blocks_0_mlp_linear_2_s": (4,),
    "classifier_linear_w": (5, 4),
    "classifier_linear_b": (5,),
    "classifier_linear_s": (5,),
}
TABLE_SHAPES = {"blocks_0_mlp_psa_1_lerp_lut": (4, 8), "blocks_0_mlp_psa_2_lerp_lut": (6, 8)}


def random_arrays(shapes: dict[str, tuple[int, ...]], seed: int = 1) -> Arrays:
    """int8 arrays, uint8 where the name ends in `_s`, of the whole range."""
    rng = np.random.default_rng(seed)
    return {
        name: rng.integers(0, 256, shape).astype(np.uint8)
        if name.endswith("_s")
        else rng.integers(-128, 128, shape).astype(np.int8)
        for name, shape in shapes.items()
    }


def braced(array: np.ndarray[Any, Any]) -> str:
    """C initialiser of an array."""
    return json.dumps(array.tolist()).replace("[", "{").replace("]", "}")


def write(path: Path, arrays: Arrays, edit: Callable[[str], str] = str) -> None:
    """A header with these arrays, its text changed by `edit`."""
    text = ["#ifndef GUARD_H\n#define GUARD_H\n\n#include <ap_int.h>\n\n"]
    for name, array in arrays.items():
        kind = "uint" if array.dtype == np.uint8 else "int"
        text.append(f"const ap_{kind}<8> {name}{''.join(f'[{n}]' for n in array.shape)} = \n{braced(array)};\n\n")
    path.write_text(edit("".join([*text, "#endif // GUARD_H\n"])))


def write_model(
    folder: Path, seed: int = 1, layout: str = "out-in", tables: dict[str, tuple[int, ...]] | None = None
) -> tuple[Arrays, Arrays]:
    """Headers of the model above; returns parameters as [output][input], and tables."""
    arrays, table_arrays = random_arrays(SHAPES, seed), random_arrays(tables or {}, seed)
    write(folder / "quant_params.h", {n: a.T if layout == "in-out" else a for n, a in arrays.items()})
    if tables:
        write(folder / "lerp_psa_params.h", table_arrays)
    return arrays, table_arrays


def lanes(table: np.ndarray[Any, Any], count: int) -> np.ndarray[Any, Any]:
    """[channel][point] to [channel / lanes][point][lane], one number at a time."""
    channels, points = table.shape
    out = np.zeros((channels // count, points, count), np.int8)
    for channel in range(channels):
        for point in range(points):
            out[channel // count, point, channel % count] = table[channel, point]
    return out


def assert_holds(model: Model, arrays: Arrays) -> None:
    """Every operator has exactly the parameters of the arrays with its name."""
    suffixes = {"w": "weight", "b": "bias", "s": "shift", "lerp_lut": "table"}
    for name, array in arrays.items():
        match = re.fullmatch(r"(?:blocks_(\d)_(token_mixer|mlp)_)?(\w+?)_(w|b|s|lerp_lut)", name)
        assert match is not None
        block, part, op, suffix = match.groups()
        tap = f"blocks.{block}.{part}.{op}" if block else op.removesuffix("_linear")
        found = getattr(model.graph.by_name[tap].op, suffixes[suffix])
        assert found.dtype == array.dtype
        assert np.array_equal(found, array), name


# --- the text ---


def test_text_is_read_as_declared(tmp_path: Path) -> None:
    """Signs, extremes, up to four dimensions, both types, and any white space between tokens."""
    (tmp_path / "a.h").write_text(
        "const ap_int<8> a[3]={-128,0,127};const\tap_uint < 8 >\nb [ 2 ] [2]\n = { {0 , 255} ,\r\n\t{ 7,8} } ;\n"
        "const ap_int<8> c[1][2][1][2] = {{{{1, -2}}, {{3, -4}}}};"
    )
    arrays = read_header_arrays(tmp_path / "a.h")
    assert list(arrays) == ["a", "b", "c"]
    assert arrays["a"].dtype == np.int8
    assert arrays["a"].tolist() == [-128, 0, 127]
    assert arrays["b"].dtype == np.uint8
    assert arrays["b"].tolist() == [[0, 255], [7, 8]]
    assert arrays["c"].tolist() == [[[[1, -2]], [[3, -4]]]]


def test_comments_and_guard_are_passed_over(tmp_path: Path) -> None:
    """Both kinds of comment may stand anywhere between tokens, and hold anything."""
    (tmp_path / "a.h").write_text(
        "// {1, 2}; const\n#ifndef X_H /* guard */\n#define X_H\n#include <ap_int.h>\n#pragma once\n"
        "/* const ap_int<8>\n x[1] = {1}; // */ const /**/ ap_int<8> a[2] /* two */ = {1, // one\n"
        " /*,*/ -2};\n#endif // X_H"
    )
    assert {name: a.tolist() for name, a in read_header_arrays(tmp_path / "a.h").items()} == {"a": [1, -2]}


ONE = "const ap_int<8> one[2][2] = {{1, 2},\n{3, 4}};\n"
BAD_TEXTS = {
    "value above int8": (ONE.replace("3", "128"), ["line 2", "'one'", "128 at [1][0]", "-128 to 127"]),
    "value below int8": (ONE.replace("3", "-129"), ["line 2", "'one'", "-129 at [1][0]", "-128 to 127"]),
    "value above uint8": (ONE.replace("int", "uint").replace("3", "256"), ["line 2", "256 at [1][0]", "0 to 255"]),
    "negative uint8": (ONE.replace("int", "uint").replace("4", "-4"), ["line 2", "-4 at [1][1]", "0 to 255"]),
    "huge number": (ONE.replace("3", "9" * 5000), ["line 2", "99999999999999999999... at [1][0]", "-128 to 127"]),
    "octal number": (ONE.replace("3", "010"), ["line 2", "010 at [1][0]", "decimal"]),
    "too few values": (ONE.replace(", 4", ""), ["'one'", "3 values", "expected 4 for [2][2]"]),
    "too many values": (ONE.replace("4", "4, 5"), ["'one'", "5 values", "expected 4 for [2][2]"]),
    "no values": (ONE.replace("{1, 2},\n{3, 4}", "         "), ["'one'", "0 values", "expected 4"]),
    "other nesting": ("const ap_int<8> one[2][2] = {{1},\n{2, 3, 4}};", ["'one'", "braced differently from [2][2]"]),
    "flat": ("const ap_int<8> one[2][2] = {1, 2,\n3, 4};", ["line 1", "'one'", "braced differently from [2][2]"]),
    "brace missing": (ONE.replace("4}}", "4}"), ["'one'", "braced differently"]),
    "brace left over": (ONE.replace("4}}", "4}}}"), ["'one'", "braced differently"]),
    "comma missing": (ONE.replace("3,", "3"), ["line 2", "'one'", "braced differently", "'4}}"]),
    "two commas left over": (ONE.replace("4}", "4,,}"), ["line 2", "'one'", "braced differently"]),
    "comma before the first": (ONE.replace("{3", "{,3"), ["line 2", "'one'", "braced differently"]),
    "comma behind the array": (ONE.replace("}}", "}},"), ["line 2", "'one'", "braced differently"]),
    "comma alone in braces": ("const ap_int<8> one[1][1] = {{1}, {,}};", ["line 1", "'one'", "braced differently"]),
    "sign alone": (ONE.replace("3", "- 3"), ["line 2", "'one'", "digit after the sign"]),
    "two signs": (ONE.replace("3", "--3"), ["line 2", "'one'", "digit after the sign"]),
    "sign at the end": (ONE.replace("}}", "}}-"), ["line 2", "'one'", "digit after the sign"]),
    "fraction": (ONE.replace("3", "3.5"), ["line 2", "'one'", "'.5, 4}}", "expected numbers"]),
    "word": (ONE.replace("3", "three"), ["line 2", "'one'", "'three", "expected numbers"]),
    "hexadecimal above int8": (ONE.replace("3", "0x80"), ["line 2", "'one'", "0x80 at [1][0]", "-128 to 127"]),
    "hexadecimal of many digits": (ONE.replace("3", "0x" + "0" * 9), ["line 2", "'one'", "expected numbers"]),
    "hexadecimal without digits": (ONE.replace("3", "0x"), ["line 2", "'one'", "expected numbers"]),
    "digits apart": (ONE.replace("3", "1'0"), ["line 2", "'one'", "expected numbers"]),
    "number with a letter": (ONE.replace("3", "3z"), ["line 2", "'one'", "expected numbers"]),
    "a macro among values": ("#define N 3\n" + ONE.replace("3", "N"), ["line 3", "'one'", "expected numbers"]),
    "NUL": (ONE.replace("3", "\0"), ["line 2", "'one'", r"\x00", "expected numbers"]),
    "given twice": (ONE + ONE, ["line 3", "'one'", "given twice", "line 1"]),
    "not ended": (ONE.replace(";", ""), ["line 1", "'one'", "does not end"]),
    "cut short": (ONE[:35], ["line 1", "'one'", "does not end"]),
    "cut in its name": (ONE[:18], ["line 1", "'const ap_int<8> on'", "expected 'const ap_int<8> NAME"]),
    "16 bits": (ONE.replace("8", "16"), ["line 1", "'one'", "16 bits", "expected 8"]),
    "other type": (
        ONE.replace("ap_int<8>", "float"),
        ["line 1", "'one'", "'float' is not known", "expected ap_int<8>"],
    ),
    "unknown type": (ONE.replace("ap_int<8>", "w_t"), ["line 1", "'one'", "type 'w_t' is not known from this header"]),
    "char": (ONE.replace("ap_int<8>", "char"), ["line 1", "'one'", "'char' has a sign with some compilers"]),
    "int": (ONE.replace("ap_int<8>", "int"), ["line 1", "'one'", "32 bits, expected 8"]),
    "no type": ("const one[1] = {1};", ["line 1", "'one'", "there is no type"]),
    "volatile": (ONE.replace("const", "const volatile"), ["line 1", "'one'", "'volatile ap_int < 8 >' is not known"]),
    "width unknown": (ONE.replace("<8>", "<W>"), ["line 1", "found 'W', expected a whole number"]),
    "width of another line": (
        ONE.replace("<8>", "<W>") + "#define W 8\n",
        ["line 1", "found 'W'", "before this line"],
    ),
    "type of two widths": (
        "typedef ap_int<8> T;\ntypedef ap_uint<8> T;\n" + ONE.replace("ap_int<8>", "T"),
        ["line 3", "'T' is declared twice"],
    ),
    "type of the language anew": ("typedef short int8_t;\n" + ONE.replace("ap_int<8>", "int8_t"), ["line 2", "twice"]),
    "type that is a macro": (
        "#define int8_t short\n" + ONE.replace("ap_int<8>", "int8_t"),
        ["line 2", "'int8_t' is a macro, defined on line 1"],
    ),
    "name that is a macro": ("#define one two\n" + ONE, ["line 2", "'one' is a macro, defined on line 1"]),
    "pointer": ("const int8_t *one = 0;", ["line 1", "'one' is no array"]),
    "function": ("int one(int a[2]) { return 1; }", ["line 1", "expected 'const ap_int<8> NAME"]),
    "structure": ("struct one { int a; };", ["line 1", "'one' is no array"]),
    "array without values": ("extern const ap_int<8> one[2][2];", ["line 1", "'one' has no values in braces"]),
    "two arrays at once": (
        "const ap_int<8> one[1] = {1}, two[1] = {2};",
        ["line 1", "'one'", "'two[1] = {2};'"],
    ),
    "not const": (ONE.replace("const ", ""), ["line 1", "'one' is not const", "expected 'const ap_int<8> NAME"]),
    "no dimensions": ("const ap_int<8> one = 3;", ["line 1", "'one' is no array", "expected 'const ap_int<8> NAME"]),
    "a name for a dimension": (ONE.replace("[2][2]", "[N][2]"), ["line 1", "found 'N', expected a whole number"]),
    "a function for a dimension": ("#define N(x) 2\n" + ONE.replace("[2][2]", "[N(1)][2]"), ["line 2", "found 'N'"]),
    "a macro of two values": (
        "#define N 2\n#define N 3\n" + ONE.replace("[2][2]", "[N][2]"),
        ["line 3", "found 'N', expected a whole number"],
    ),
    "a macro that is none any more": (
        "#define N 2\n#undef N\n" + ONE.replace("[2][2]", "[N][2]"),
        ["line 3", "found 'N', expected a whole number"],
    ),
    "a macro under a condition": (
        "#ifndef N\n#define N 2\n#endif\n" + ONE.replace("[2][2]", "[N][2]"),
        ["line 4", "found 'N', expected a whole number"],
    ),
    "a macro of itself": ("#define N N\n" + ONE.replace("[2][2]", "[N][2]"), ["line 2", "found 'N'"]),
    "a dimension divided by zero": (ONE.replace("[2][2]", "[2 / 0][2]"), ["line 1", "divided by zero"]),
    "a dimension too large": (ONE.replace("[2][2]", "[1 << 61 << 61][2]"), ["line 1", "larger than 62 bits"]),
    "a dimension below zero": (ONE.replace("[2][2]", "[-2][2]"), ["line 1", "'one'", "[-2][2]", "cannot fill"]),
    "a dimension without an end": ("const ap_int<8> one[2", ["line 1", "'one'", "does not end"]),
    "an inner dimension open": (ONE.replace("[2][2]", "[2][]"), ["line 1", "'one'", "not the first"]),
    "values for no whole number of rows": (
        "const ap_int<8> one[][2] = {{1, 2}, {3}};",
        ["'one'", "3 values", "multiple of 2 for [][2]"],
    ),
    "five dimensions": ("const ap_int<8> one[1][1][1][1][1] = {{{{{1}}}}};", ["line 1", "'one'", "more than 4"]),
    "a constant that may change": ("int N = 2;\n" + ONE, ["line 1", "'N' is not const"]),
    "a constant beyond its type": ("const unsigned N = 4294967296;\n", ["line 1", "'N' is 4294967296", "32 bits"]),
    "a namespace without an end": ("namespace a {\n" + ONE, ["line 1", "brace is not closed"]),
    "a brace too many": (ONE + "}\n", ["line 3", "closes nothing"]),
    "linkage without an end": ('extern "C" {\n' + ONE, ["line 1", "brace is not closed"]),
    "linkage under __cplusplus without an end": (
        '#ifdef __cplusplus\nextern "C" {\n#endif\n' + ONE,
        ["line 2", "under __cplusplus has no '}'"],
    ),
    "linkage under __cplusplus ended twice": (
        ONE + "#ifdef __cplusplus\n}\n#endif\n",
        ["line 4", "closes nothing that was opened under it"],
    ),
    "a dimension of nothing": (ONE.replace("[2][2]", "[0][2]"), ["line 1", "'one'", "[0][2]"]),
    "huge dimensions": (
        ONE.replace("[2][2]", "[999999999][999999999]"),
        ["'one'", "[999999999][999999999]", "cannot fill"],
    ),
    "dimensions of many digits": (ONE.replace("[2][2]", f"[{'9' * 4000}]"), ["line 1", "expected a whole number"]),
    "something after an array": (ONE + "int main() {}", ["line 3", "'int main() {}'", "expected 'const ap_int"]),
    "open comment": (ONE + "/* and so on", ["line 3", "comment", "does not end"]),
    "behind a long comment": ("/*\n\n*/ // x\n" + ONE.replace("3", "300"), ["line 5", "300 at [1][0]"]),
    "condition": ("\n#if 0\n" + ONE + "#endif\n", ["line 2", "'#if 0'", "include guard"]),
    "array under a guard that defines nothing": (
        "#ifndef A_H\n" + ONE + "#endif\n",
        ["line 1", "'#ifndef A_H' is a condition, not an include guard"],
    ),
    "array under a guard that defines another name": (
        "#ifndef A_H\n#define B_H\n" + ONE + "#endif\n",
        ["line 1", "'#ifndef A_H' is a condition, not an include guard"],
    ),
    "array under a guard that defines late": (
        "#ifndef A_H\n" + ONE + "#define A_H\n#endif\n",
        ["line 1", "'#ifndef A_H' is a condition, not an include guard"],
    ),
    "a second guard": (
        "#ifndef A_H\n#define A_H\n#endif\n#ifndef B_H\n#define B_H\n" + ONE + "#endif\n",
        ["line 4", "'#ifndef B_H' is a condition, not an include guard"],
    ),
    "a guard that was defined before": (
        "#define A_H\n#ifndef A_H\n#define A_H\n" + ONE + "#endif\n",
        ["line 2", "'#ifndef A_H' is a condition, not an include guard"],
    ),
    "a guard with another side": (
        "#ifndef A_H\n#define A_H\n#else\n" + ONE + "#endif\n",
        ["line 3", "'#else' belongs to an include guard"],
    ),
    "a guard without an end": ("#ifndef A_H\n#define A_H\n" + ONE, ["line 1", "'#ifndef A_H' has no '#endif'"]),
    "an end too many": (ONE + "#endif\n", ["line 3", "'#endif' has no '#if' before it"]),
    "another side of nothing": ("#else\n" + ONE, ["line 1", "'#else' has no '#if' before it"]),
    "array for C++ alone": ("#ifdef __cplusplus\n" + ONE + "#endif\n", ["line 1", "'#ifdef __cplusplus' is a condi"]),
    "array for C alone": (
        '#ifdef __cplusplus\nextern "C" {\n}\n#else\n' + ONE + "#endif\n",
        ["line 1", "'#ifdef __cplusplus' is a condition"],
    ),
    "a condition in an array": (ONE.replace("3", "\n#if 0\n3"), ["line 3", "'#if 0' is a condition"]),
    "an included file in an array": (
        ONE.replace("3", '\n#include "x"\n3'),
        ["line 3", "directive stands inside", "'one'"],
    ),
    "a directive that a comment carries on": (
        "#include <ap_int.h> /* x\n */ " + ONE,
        ["line 1", "is more than an include guard"],
    ),
    "a macro of the language": ("#define const volatile\n" + ONE, ["line 2", "'const' is a macro"]),
    "a pragma that brings macros back": (
        '#pragma pop_macro("one")\n' + ONE,
        ["line 1", "is more than an include guard"],
    ),
    "a line of another file": ('#line 7 "x"\n' + ONE, ["line 1", "is more than an include guard"]),
    "an error": ("#error no\n" + ONE, ["line 1", "is more than an include guard"]),
    "joined lines with a blank": ("// a comment \\ \n" + ONE, ["line 1", "backslash"]),
    "joined lines by a trigraph": ("// a comment ??/\n" + ONE, ["line 1", "backslash"]),
    "a carriage return alone": ("// a comment\r" + ONE, ["line 1", "carriage return stands alone"]),
    "UTF-16": ("\xff\xfe" + ONE, ["byte-order mark of UTF-16"]),
    "joined lines": ("// a comment \\\n" + ONE, ["line 1", "backslash"]),
}


@pytest.mark.parametrize("case", BAD_TEXTS)
def test_malformed_text_is_named(case: str, tmp_path: Path) -> None:
    """Each kind of damage gives one line that names file, line, array, and what was expected."""
    text, parts = BAD_TEXTS[case]
    path = tmp_path / "bad.h"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(FileError) as caught:
        read_header_arrays(path)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 400
    for part in [str(path), *parts]:
        assert part in message


READ_TEXTS: dict[str, tuple[str, dict[str, Any]]] = {
    "storage classes": (
        "static const ap_int<8> a[1]={1}; constexpr int8_t b[1]={2}; static constexpr uint8_t c[1]={3};"
        "inline constexpr std::int8_t d[1]={4}; extern const ::uint8_t e[1]={5}; ap_int<8> const f[1]={6};",
        {"a": [1], "b": [2], "c": [3], "d": [4], "e": [5], "f": [6]},
    ),
    "types of the language": (
        "const signed char a[1]={-1}; const unsigned char b[1]={255}; const char unsigned c[1]={1};"
        "const int8_t d[]={1};",
        {"a": [-1], "b": [255], "c": [1], "d": [1]},
    ),
    "types of one's own": (
        "typedef ap_int<8> weight_t;\nusing shift_t = const ap_uint<8>;\ntypedef weight_t bias_t;\n"
        "typedef float real_t;\n"
        "typedef signed char int8_t;\nconst weight_t a[1]={-1}; shift_t b[1]={200}; const bias_t c[1]={-2};"
        "const int8_t d[1]={-3};",
        {"a": [-1], "b": [200], "c": [-2], "d": [-3]},
    ),
    "constants": (
        "#define N 2\n#define M (N + 1)\nconst int K = N * M / 2 - 1;\nstatic const unsigned L{0x1u};\n#define W 4+4\n"
        "const ap_int<W> a[K][(1 << L)] = {{1, 2}, {3, 4}}; const int8_t b[M % N]={5}; const int8_t c[W*1 - 7]={6};",
        {"a": [[1, 2], [3, 4]], "b": [5], "c": [6]},
    ),
    "a macro as its text has it": ("#define N 1+1\nconst int8_t a[N*2] = {1, 2, 3};", {"a": [1, 2, 3]}),
    "hexadecimal and suffixes": (
        "const int8_t a[5] = {0x7f, -0x80, 0X0A, 12u, -5L}; const uint8_t b[3] = {0xFF, 0x00000001, 7UL};",
        {"a": [127, -128, 10, 12, -5], "b": [255, 1, 7]},
    ),
    "commas behind the last": (
        "const int8_t a[3] = {1,2,3,}; const int8_t b[2][2] = {{1,2,},{3,4,},};",
        {"a": [1, 2, 3], "b": [[1, 2], [3, 4]]},
    ),
    "first dimension open": ("const int8_t a[][2] = {{1,2},{3,4},{5,6}};", {"a": [[1, 2], [3, 4], [5, 6]]}),
    "braces without a sign of equality": ("constexpr int8_t a[2] {1, 2};", {"a": [1, 2]}),
    "namespaces": (
        "namespace net { namespace { const int8_t a[1]={1}; } }\nnamespace x::y { const int8_t b[1]={2}; };",
        {"a": [1], "b": [2]},
    ),
    "pragmas": (
        "#pragma once\n#pragma HLS array_partition variable=a complete\nconst int8_t a[1]={1};\n"
        "  #  pragma GCC diagnostic pop\n#\n",
        {"a": [1]},
    ),
    "linkage": (
        '#ifndef A_H\n#define A_H 1\n#ifdef __cplusplus\nextern "C" {\n#endif\nconst int8_t a[1]={1};\n'
        "#if defined(__cplusplus)\n}\n#endif\n#endif A_H\n",
        {"a": [1]},
    ),
    "linkage without a condition": ('extern "C" { const int8_t a[1]={1}; }', {"a": [1]}),
    "a guard by another word": (
        "#pragma once\n#include <stdint.h>\n#if !defined(A_H)\n#define A_H\nconst int8_t a[1]={1};\n#endif",
        {"a": [1]},
    ),
    "conditions with nothing under them": (
        "#ifdef __SYNTHESIS__\n#include <ap_int.h>\n#else\n#include <stdint.h>\n#error none\n#endif\n"
        "#ifndef EPSILON\n#define EPSILON 1e-6\n#endif\nconst int8_t a[1]={1};",
        {"a": [1]},
    ),
    "macros that nothing uses": (
        "#define AP_INT_MAX_W 4096\n#define F(x) ((x) + 1)\nconst int8_t a[1]={1};",
        {"a": [1]},
    ),
    "signs in comments and texts": (
        '#pragma message("/* no comment")\n// don\'t\n/* it\'s " */ const int8_t a[1]={1}; // "\n',
        {"a": [1]},
    ),
    "mark": ("\xef\xbb\xbfconst int8_t a[1]={1};", {"a": [1]}),
    "line ends of old": (
        "// one\r#define N 1\rconst int8_t a[N]={1}; // two\rconst int8_t b[1]={2};\r",
        {"a": [1], "b": [2]},
    ),
    "nothing": ("\n", {}),
}


@pytest.mark.parametrize("case", READ_TEXTS)
def test_what_people_write_is_read(case: str, tmp_path: Path) -> None:
    """Valid C and C++ of the kinds that tools and people write gives its values and signs."""
    text, expected = READ_TEXTS[case]
    path = tmp_path / "a.h"
    path.write_bytes(text.encode("latin-1"))
    arrays = read_header_arrays(path)
    assert {name: array.tolist() for name, array in arrays.items()} == expected
    for name, array in arrays.items():
        assert array.dtype == (np.uint8 if f"unsigned char {name}" in text or max(array.flat) > 127 else array.dtype)


def test_the_sign_of_a_type_is_kept(tmp_path: Path) -> None:
    """int8 and uint8 are what the declarations say, also where values would fit both."""
    types = {
        np.int8: ["ap_int<8>", "int8_t", "signed char", "s_t"],
        np.uint8: ["ap_uint<8>", "uint8_t", "unsigned char", "u_t"],
    }
    text = "typedef ap_int<8> s_t; typedef uint8_t u_t;\n"
    expected = {}
    for dtype, names in types.items():
        for i, name in enumerate(names):
            text += f"const {name} {np.dtype(dtype).name}_{i}[1] = {{1}};\n"
            expected[f"{np.dtype(dtype).name}_{i}"] = dtype
    (tmp_path / "a.h").write_text(text)
    assert {name: array.dtype.type for name, array in read_header_arrays(tmp_path / "a.h").items()} == expected


LINES = (
    "#ifndef G", "#define G", "#endif", "#ifdef __cplusplus", 'extern "C" {', "}", "#if 0", "#ifdef X", "#else",
    "#define X", "#include <stdint.h>", "#pragma once", "/*", "*/", "// a", "#endif /* a", "namespace a {",
)  # fmt: skip


@pytest.mark.slow
@given(st.lists(st.sampled_from([*LINES, *["ARRAY"] * 4]), max_size=10), st.booleans())
@settings(max_examples=150)
def test_arrays_are_read_where_a_preprocessor_leaves_them(lines: list[str], guarded: bool) -> None:
    """What is read of any lines is what `g++ -E` leaves of them, in C and C++, whichever other macros are defined."""
    if guarded:
        lines = ["#ifndef G", "#define G", *lines, "#endif"]
    text = "\n".join(f"const signed char a{i}[1] = {{1}};" if line == "ARRAY" else line for i, line in enumerate(lines))
    with TemporaryDirectory() as folder:
        path = Path(folder) / "a.h"
        path.write_text(text + "\n")
        try:
            names = list(read_header_arrays(path))
        except FileError:
            return
        for language in ("c", "c++"):
            for macros in ([], ["-DX"]):
                command = ["g++", "-E", "-P", "-nostdinc", "-x", language, *macros, "-"]
                plain = text.replace("#include <stdint.h>", "")
                left = subprocess.run(command, input=plain + "\n", text=True, capture_output=True, check=True).stdout
                assert re.findall(r"a\d+(?=\[)", left) == names


def test_known_headers_are_answered_rightly(cases: Path) -> None:
    """Headers that were once imported wrongly, or refused for nothing, are read to one network or refused by name."""
    hashes = {
        model_sha256(import_headers(cases / "headers" / name)) for name in ("cr_only", "static_const", "trailing_comma")
    }
    assert len(hashes) == 1
    for name, message in (
        ("guard_nodefine", r"line 1: '#ifndef QUANT_PARAMS_H' is a condition, not an include guard"),
        ("guard_noendif", r"line 1: '#ifndef QUANT_PARAMS_H' has no '#endif'"),
        ("guard_extraendif", r"line 238: '#endif' has no '#if' before it"),
    ):
        with pytest.raises(FileError, match=message):
            import_headers(cases / "headers" / name)


def test_files_that_are_no_text_are_refused(tmp_path: Path) -> None:
    """Random bytes, an absent file, a folder, and a file beyond the bound."""
    garbage = tmp_path / "garbage.h"
    garbage.write_bytes(np.random.default_rng(3).bytes(100_000))
    with pytest.raises(FileError, match=r"garbage\.h: line \d+: "):
        read_header_arrays(garbage)
    with pytest.raises(FileError, match="there is no such file"):
        read_header_arrays(tmp_path / "absent.h")
    with pytest.raises(FileError, match="not a regular file"):
        read_header_arrays(tmp_path)
    large = tmp_path / "large.h"
    with large.open("wb") as file:
        file.truncate(HEADER_BYTES_MAX + 1)
    with pytest.raises(FileError, match="larger than"):
        read_header_arrays(large)


def test_the_largest_header_takes_bounded_memory(tmp_path: Path) -> None:
    """The densest text, one digit a value, at the largest size that is read takes little more than a gigabyte."""
    path, values = tmp_path / "dense.h", 1 << 19
    path.write_text(f"const ap_int<8> a[{values}] = {{{','.join(['1'] * values)}}};\n")
    tracemalloc.start()
    try:
        assert read_header_arrays(path)["a"].sum(dtype=np.int64) == values
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak / path.stat().st_size * HEADER_BYTES_MAX < 1.2e9


@pytest.mark.slow
def test_hostile_text_is_refused_in_linear_time(tmp_path: Path) -> None:
    """A megabyte of what makes careless parsers slow takes no longer than a megabyte of anything."""
    n = 1 << 20
    texts = [
        "/*" * (n // 2),
        "/" * n + "\n.",
        "{" * n,
        "const ap_int<8> a[1] = " + "{" * n + ";",
        "const ap_int<8> a[1] = {" + "9" * n + "};",
        "const ap_int<8> a[1] = {" + "-" * n + "};",
        "const ap_int<8> " + "a" * n,
        "const ap_int<8> a" + "[1]" * (n // 3),
        "const " + " " * n,
        "#" * n,
        "".join(f"#define X{i}\n" for i in range(n // 15)),
        "#ifndef X\n" * (n // 10),
        "#ifndef X\n#endif\n" * (n // 17) + ".",
        "namespace a {" * (n // 13),
        "typedef a b;" * (n // 12) + ".",
        "".join(f"typedef a b{i};" for i in range(n // 18)),
        "using a = " + "b " * (n // 2),
        "const int N = " + "(" * n,
        "const int N = " + "1 + " * (n // 4),
        "const ap_int<8> a[1] = {" + "0x1," * (n // 4) + "};",
        "const ap_int<8> a[1] = {" + "1,}" * (n // 3) + "};",
        "/**/\n #" * (n // 7) + "\n.",
        "#define A\n"
        + "".join(f"#define B{i} {f'B{i - 1} ' * 50}\n" for i in range(1, 99))
        + "const int8_t a[B98]={1};",
        "".join(f"#define B{i} {f'B{i - 1} ' * 50}\n" for i in range(1, 99)) + "#define B0\nconst int8_t a[B98]={1};",
        "".join(f"const ap_int<8> a{i}[1] = {{1}};\n" for i in range(n // 32)),
    ]
    for text in texts:
        path = tmp_path / "hostile.h"
        path.write_text(text)
        start = time.process_time()
        with pytest.raises(FileError):
            read_header_arrays(path)
        # Quadratic work on a megabyte would take minutes.
        assert time.process_time() - start < 10, text[:30]


# --- import ---


@pytest.mark.parametrize("layout", ["out-in", "in-out"])
@pytest.mark.parametrize("asked", ["auto", "the same"])
def test_both_layouts_give_the_same_model(layout: str, asked: str, tmp_path: Path) -> None:
    """The layout is seen from matrices that are not square, or is stated; square ones follow it."""
    arrays, _ = write_model(tmp_path, layout=layout)
    model = import_headers(tmp_path, layout if asked == "the same" else "auto")
    assert_holds(model, arrays)
    assert model.provenance["layout"] == layout
    config = ResMLPConfig(tokens=2, values=3, channels=4, hidden=6, blocks=1, classes=5)
    assert recognise_resmlp(model.graph) == config
    assert model.graph.by_name["blocks.0.token_mixer.linear"].op.over is Axis.TOKENS  # type: ignore[union-attr]
    assert model.graph.by_name["pool"].op == Pool(2)


def test_square_matrices_need_a_stated_layout(tmp_path: Path) -> None:
    """Where no matrix tells the layout the user is asked for it, and gets what was stated."""
    square = {name: tuple(2 for _ in shape) for name, shape in SHAPES.items()}
    arrays = random_arrays(square)
    write(tmp_path / "quant_params.h", arrays)
    with pytest.raises(FileError, match=r"quant_params\.h: all matrices are square.*'out-in' or 'in-out'"):
        import_headers(tmp_path)
    assert_holds(import_headers(tmp_path, "out-in"), arrays)
    assert_holds(import_headers(tmp_path, MatrixLayout.IN_OUT), {name: array.T for name, array in arrays.items()})


def test_layouts_that_contradict_are_refused(tmp_path: Path) -> None:
    """A stated layout that a matrix denies, two matrices that deny each other, and a layout there is not."""
    arrays, _ = write_model(tmp_path)
    with pytest.raises(
        FileError, match=r"line 6: array 'embed_linear_w' has shape \[4\]\[3\].*'out-in'.*'in-out'.*asked"
    ):
        import_headers(tmp_path, "in-out")
    write(tmp_path / "quant_params.h", arrays | {"classifier_linear_w": arrays["classifier_linear_w"].T})
    with pytest.raises(
        FileError, match=r"'classifier_linear_w' has shape \[4\]\[5\].*'in-out'.*'embed_linear_w' tells"
    ):
        import_headers(tmp_path)
    with pytest.raises(FileError, match="no layout 'sideways'; there are: auto, out-in, in-out"):
        import_headers(tmp_path, "sideways")


def test_tables_are_read_in_both_forms(tmp_path: Path) -> None:
    """[channel][point], [channel / lanes][point][lanes] with the file's own lane count, or both, which must agree."""
    arrays, tables = write_model(tmp_path, tables=TABLE_SHAPES)
    plain = import_headers(tmp_path)
    assert_holds(plain, arrays | tables)
    transposed = {name: lanes(table, 2) for name, table in tables.items()}
    write(tmp_path / "lerp_psa_params_transposed.h", transposed)
    assert import_headers(tmp_path).graph == plain.graph
    (tmp_path / "lerp_psa_params.h").unlink()
    assert import_headers(tmp_path).graph == plain.graph

    write(tmp_path / "lerp_psa_params.h", tables)
    transposed["blocks_0_mlp_psa_2_lerp_lut"][2, 3, 1] ^= 1  # channel 5, point 3
    write(tmp_path / "lerp_psa_params_transposed.h", transposed)
    with pytest.raises(
        FileError, match=r"transposed\.h.*'blocks_0_mlp_psa_2_lerp_lut'.*channel 5, point 3.*expected -?\d+ as"
    ):
        import_headers(tmp_path)


def test_lanes_that_do_not_give_the_channels_are_refused(tmp_path: Path) -> None:
    """Padded or missing lanes are not guessed at: groups times lanes is the number of channels."""
    write_model(tmp_path)
    shapes = {"blocks_0_mlp_psa_1_lerp_lut": (1, 8, 16), "blocks_0_mlp_psa_2_lerp_lut": (1, 8, 16)}
    write(tmp_path / "lerp_psa_params_transposed.h", random_arrays(shapes))
    with pytest.raises(
        FileError, match=r"'blocks_0_mlp_psa_1_lerp_lut' has shape \[1\]\[8\]\[16\], expected .* of 4 and 8"
    ):
        import_headers(tmp_path)


@pytest.mark.parametrize(
    ("stored", "asked", "points", "rule"),
    [
        (4, None, 4, "clamp"),
        (64, None, 64, "clamp"),
        (5, None, 4, "endpoint"),
        (257, None, 256, "endpoint"),
        (256, None, 256, "full"),
        (256, "clamp", 256, "clamp"),
        (256, "hold", 256, "hold"),
        (8, "hold", 8, "hold"),
        (9, "endpoint", 8, "endpoint"),
    ],
)
def test_edge_rule_follows_from_points_or_is_stated(
    stored: int, asked: str | None, points: int, rule: str, tmp_path: Path
) -> None:
    """P + 1 points are `endpoint`, 256 `full`, another power of two `clamp`, unless the user says otherwise."""
    _, tables = write_model(tmp_path, tables={name: (shape[0], stored) for name, shape in TABLE_SHAPES.items()})
    model = import_headers(tmp_path, rule=asked)
    for name, table in tables.items():
        op = model.graph.by_name[name.replace("blocks_0_mlp_", "blocks.0.mlp.").removesuffix("_lerp_lut")].op
        assert op == Lut(table, TableRule(rule))  # type: ignore[arg-type]
        assert isinstance(op, Lut)
        assert op.points == points


@pytest.mark.parametrize(
    ("stored", "asked", "message"),
    [
        (63, None, "63 points a channel, expected one of 4, 8, 16, 32, 64, 128, 256 under edge rule 'clamp'"),
        (3, None, "3 points a channel"),
        (512, None, "512 points a channel"),
        (64, "endpoint", "64 points a channel, expected one of 5, 9, 17, 33, 65, 129, 257 under edge rule 'endpoint'"),
        (65, "clamp", "65 points a channel"),
        (64, "full", "64 points a channel, expected one of 256 under edge rule 'full'"),
        (64, "sharp", "no edge rule 'sharp'; there are: full, clamp, hold, endpoint"),
    ],
)
def test_points_that_no_rule_allows_are_refused(stored: int, asked: str | None, message: str, tmp_path: Path) -> None:
    """Numbers of points and rules that do not go together are named with those that do."""
    write_model(tmp_path, tables={name: (shape[0], stored) for name, shape in TABLE_SHAPES.items()})
    with pytest.raises(FileError, match=re.escape(message)):
        import_headers(tmp_path, rule=asked)


def test_edge_rule_without_tables_is_refused(tmp_path: Path) -> None:
    """A rule asked of a model without tables is not silently dropped."""
    write_model(tmp_path)
    with pytest.raises(FileError, match=r"edge rule 'hold' was asked for, but there is neither lerp_psa_params\.h nor"):
        import_headers(tmp_path, rule="hold")


def drop(name: str) -> Callable[[Arrays], Arrays]:
    """The arrays without one."""
    return lambda arrays: {n: a for n, a in arrays.items() if n != name}


def reshape(name: str, shape: tuple[int, ...], dtype: type[np.generic] = np.int8) -> Callable[[Arrays], Arrays]:
    """The arrays with one of another shape or type."""
    return lambda arrays: arrays | {name: np.ones(shape, dtype)}


BAD_MODELS: dict[str, tuple[Callable[[Arrays], Arrays], str]] = {
    "no embedding": (drop("embed_linear_w"), r"array 'embed_linear_w' is missing, expected .* 4 biases"),
    "no count of channels": (drop("embed_linear_b"), r"array 'embed_linear_b' is missing"),
    "no count of classes": (drop("classifier_linear_b"), r"array 'classifier_linear_b' is missing"),
    "no shift": (drop("blocks_0_mlp_linear_1_s"), r"array 'blocks_0_mlp_linear_1_s' is missing, expected shape \[6\]"),
    "no affine": (
        drop("blocks_0_mlp_res_affine_w"),
        r"array 'blocks_0_mlp_res_affine_w' is missing, expected shape \[4\]",
    ),
    "no blocks": (
        lambda arrays: {n: a for n, a in arrays.items() if not n.startswith("blocks")},
        "array 'blocks_0_mlp_linear_1_b' is missing",
    ),
    "left over": (reshape("blocks_0_mlp_gate_w", (4,)), r"line \d+: array 'blocks_0_mlp_gate_w' does not belong"),
    "a block skipped": (
        reshape("blocks_2_mlp_linear_1_w", (6, 4)),
        r"array 'blocks_1_token_mixer_res_affine_w' is missing",
    ),
    "wrong matrix": (
        reshape("blocks_0_mlp_linear_2_w", (4, 5)),
        r"line \d+: .*_2_w' has shape \[4\]\[5\], expected \[4\]\[6\] or",
    ),
    "wrong vector": (
        reshape("blocks_0_mlp_linear_2_b", (5,)),
        r"'blocks_0_mlp_linear_2_b' has shape \[5\], expected \[4\]$",
    ),
    "vector for matrix": (
        reshape("embed_linear_w", (12,)),
        r"'embed_linear_w' has shape \[12\], expected two dimensions",
    ),
    "embedding of others": (
        reshape("embed_linear_w", (5, 3)),
        r"'embed_linear_w' has shape \[5\]\[3\], expected .*\[4\]",
    ),
    "matrix for bias": (
        reshape("embed_linear_b", (4, 1)),
        r"'embed_linear_b' has shape \[4\]\[1\], expected one dimension",
    ),
    "signed shift": (reshape("embed_linear_s", (4,)), r"'embed_linear_s' holds int8 values, expected uint8"),
    "unsigned weight": (
        reshape("embed_linear_w", (4, 3), np.uint8),
        r"'embed_linear_w' holds uint8 values, expected int8",
    ),
    "three tokens": (
        lambda arrays: (
            arrays | random_arrays({f"blocks_0_token_mixer_linear_{f}": (3, 3) if f == "w" else (3,) for f in "wbs"})
        ),
        r"3 tokens, expected a power of two",
    ),
}


@pytest.mark.parametrize("case", BAD_MODELS)
def test_arrays_that_are_no_resmlp_are_refused(case: str, tmp_path: Path) -> None:
    """What is missing, left over, or of another shape or type is named with what was expected."""
    change, message = BAD_MODELS[case]
    write(tmp_path / "quant_params.h", change(random_arrays(SHAPES)))
    with pytest.raises(FileError, match=message) as caught:
        import_headers(tmp_path)
    assert str(tmp_path) in str(caught.value)


def test_bad_tables_are_refused(tmp_path: Path) -> None:
    """Tables that are missing, left over, or of other channels or points than the rest."""
    write_model(tmp_path, tables=TABLE_SHAPES)
    for change, message in {
        r"array 'blocks_0_mlp_psa_2_lerp_lut' is missing, expected shape \[6\]\[8\]": drop(
            "blocks_0_mlp_psa_2_lerp_lut"
        ),
        r"array 'blocks_0_mlp_psa_1_lerp_lut' is missing": drop("blocks_0_mlp_psa_1_lerp_lut"),
        r"_psa_2_lerp_lut' has shape \[6\]\[16\], expected": reshape("blocks_0_mlp_psa_2_lerp_lut", (6, 16)),
        r"_psa_2_lerp_lut' has shape \[5\]\[8\], expected": reshape("blocks_0_mlp_psa_2_lerp_lut", (5, 8)),
        r"_psa_1_lerp_lut' has shape \[8\], expected": reshape("blocks_0_mlp_psa_1_lerp_lut", (8,)),
        r"_psa_1_lerp_lut' holds uint8": reshape("blocks_0_mlp_psa_1_lerp_lut", (4, 8), np.uint8),
        r"array 'blocks_1_mlp_psa_1_lerp_lut' does not belong": reshape("blocks_1_mlp_psa_1_lerp_lut", (4, 8)),
    }.items():
        write(tmp_path / "lerp_psa_params.h", message(random_arrays(TABLE_SHAPES)))
        with pytest.raises(FileError, match=rf"lerp_psa_params\.h: .*{change}"):
            import_headers(tmp_path)


def test_folders_without_headers_are_refused(tmp_path: Path) -> None:
    """No folder, a file for a folder, an empty folder, and a table header that is a link to nowhere."""
    with pytest.raises(FileError, match="absent: there is no such folder"):
        import_headers(tmp_path / "absent")
    with pytest.raises(FileError, match=r"quant_params\.h: there is no such file"):
        import_headers(tmp_path)
    write_model(tmp_path)
    with pytest.raises(FileError, match=r"quant_params\.h: is not a folder"):
        import_headers(tmp_path / "quant_params.h")
    (tmp_path / "lerp_psa_params.h").symlink_to(tmp_path / "nowhere.h")
    with pytest.raises(FileError, match=r"lerp_psa_params\.h: there is no such file"):
        import_headers(tmp_path)


# --- export ---


@pytest.mark.slow
@given(model=resmlp_models(), layout=st.sampled_from(["out-in", "in-out"]))
def test_export_and_import_give_the_model_back(model: Model, layout: str) -> None:
    """Any ResMLP survives both layouts, with its rule and layout stated."""
    config = recognise_resmlp(model.graph)
    with TemporaryDirectory() as folder:
        export_headers(model, folder, layout)
        assert import_headers(folder, layout, config.rule).graph == model.graph


@pytest.mark.slow
@settings(max_examples=20)
@given(
    model=resmlp_models(
        resmlp_configs(psa=True).map(
            lambda c: ResMLPConfig(c.tokens, c.values, 16, 32, c.blocks, c.classes, c.points, c.rule)
        )
    )
)
def test_transposed_tables_are_written_where_lanes_fill(model: Model) -> None:
    """Channel counts that are multiples of 16 get [channel / 16][point][16] tables, enough to import the model."""
    config = recognise_resmlp(model.graph)
    with TemporaryDirectory() as folder:
        names = {path.name for path in export_headers(model, folder, "in-out")}
        assert names == {"quant_params.h", "lerp_psa_params.h", "lerp_psa_params_transposed.h"}
        arrays = read_header_arrays(Path(folder) / "lerp_psa_params_transposed.h")
        for name in ("psa_1", "psa_2"):
            table = model.graph.by_name[f"blocks.0.mlp.{name}"].op.table  # type: ignore[union-attr]
            assert np.array_equal(arrays[f"blocks_0_mlp_{name}_lerp_lut"], lanes(table, 16))
        (Path(folder) / "lerp_psa_params.h").unlink()
        assert import_headers(folder, rule=config.rule).graph == model.graph


def test_exported_arrays_have_the_published_names(tmp_path: Path) -> None:
    """Names, shapes and types are those that were imported, and no others."""
    (tmp_path / "in").mkdir()
    arrays, tables = write_model(tmp_path / "in", tables=TABLE_SHAPES)
    model = import_headers(tmp_path / "in")
    written = export_headers(model, tmp_path / "out")
    assert [path.name for path in written] == ["quant_params.h", "lerp_psa_params.h"]
    for path, expected in zip(written, (arrays, tables), strict=True):
        found = read_header_arrays(path)
        assert {name: (a.dtype, a.tolist()) for name, a in found.items()} == {
            name: (a.dtype, a.tolist()) for name, a in expected.items()
        }


def test_exports_are_not_mixed(tmp_path: Path) -> None:
    """Headers that would stay beside the new ones stop the export before anything is written."""
    write_model(tmp_path, tables=TABLE_SHAPES)
    psa = import_headers(tmp_path)
    (tmp_path / "lerp_psa_params.h").unlink()
    relu = import_headers(tmp_path)
    target = tmp_path / "target"
    export_headers(psa, target)
    before = {path.name: path.read_bytes() for path in target.iterdir()}
    with pytest.raises(FileError, match=r"lerp_psa_params\.h: would stay"):
        export_headers(relu, target)
    assert {path.name: path.read_bytes() for path in target.iterdir()} == before
    export_headers(psa, target)


def test_graphs_that_are_no_resmlp_are_not_exported(tmp_path: Path) -> None:
    """Only a ResMLP has published names; the layout must be one that can be written."""
    write_model(tmp_path)
    model = import_headers(tmp_path)
    with pytest.raises(FileError, match="written as 'out-in' or 'in-out', not 'auto'"):
        export_headers(model, tmp_path / "out", "auto")
    other = Model(type(model.graph)(model.graph.input_shape, model.graph.nodes[:1]), "embedding")
    with pytest.raises(FileError, match="model 'embedding' cannot be written as headers: graph is not a ResMLP"):
        export_headers(other, tmp_path / "out")
    assert not (tmp_path / "out").exists()


# --- damage ---


def read_slowly(text: str) -> Arrays:
    """A second reader, for texts that the first accepts: each initialiser as JSON."""
    text = re.sub(r"//[^\n]*|/\*.*?\*/", " ", text, flags=re.DOTALL)
    text = re.sub(r"^[ \t]*#.*$", "", text, flags=re.MULTILINE)
    arrays = {}
    for match in re.finditer(r"const\s+ap_(u?)int\s*<\s*8\s*>\s*(\w+)\s*((?:\[\s*\d*\s*\]\s*)+)=?([^;]*);", text):
        values = json.loads(match[4].replace("{", "[").replace("}", "]"))
        dims = re.findall(r"\[\s*(\d*)\s*\]", match[3])
        array = np.array(values, np.uint8 if match[1] else np.int8)
        assert array.ndim == len(dims)
        assert all(int(dim) == n for dim, n in zip(dims, array.shape, strict=True) if dim)
        arrays[match[2]] = array
    return arrays


@st.composite
def damaged(draw: st.DrawFn, text: str) -> str:
    """A text after a few small accidents: characters changed, lost, added or repeated, or the end cut off."""
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(text)))
        length = draw(st.sampled_from([0, 1, 1, 2, 5, 40]))
        added = draw(
            st.one_of(
                st.text(st.sampled_from('{},;-+0123456789[]<>/*#" \n\0\x80abc_'), max_size=3),
                st.sampled_from(
                    ["", text[at : at + 60], "{1, 2}", "const ap_int<8> x[1] = {1};", "[2]", "//", "/*", "*/"]
                ),
            )
        )
        text = text[:at] + added + text[at + length :]
        if draw(st.integers(0, 9)) == 0:
            text = text[:at]
    return text


BLOCK_TEXT = """#ifndef A_H
#define A_H
#include <ap_int.h>
const ap_int<8> a[2][3] =
{{1, -2, 3},
{100, -128, 127}};

const ap_uint<8> b[2] = /* shifts */
{0, 255};
const ap_int<8> c[1][2][2] = {{{1, 2}, {3, 4}}};
#endif // A_H
"""


@pytest.mark.slow
@settings(max_examples=400)
@given(text=damaged(BLOCK_TEXT))
@example(text=BLOCK_TEXT.replace("> a", ">a"))
@example(text=BLOCK_TEXT.replace("b[2] =", "b[2]"))
@example(text=BLOCK_TEXT.replace("a[2]", "a[]"))
def test_damaged_text_is_refused_or_read_rightly(text: str) -> None:
    """A damaged text gives a FileError, or arrays that a second reader agrees with; never another exception."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "a.h"
        path.write_bytes(text.encode("latin-1"))
        try:
            arrays = read_header_arrays(path)
        except FileError:
            return
    expected = read_slowly(text)
    assert {n: (a.dtype, a.tolist()) for n, a in arrays.items()} == {
        n: (a.dtype, a.tolist()) for n, a in expected.items()
    }


@pytest.mark.slow
@settings(max_examples=150)
@given(data=st.data())
def test_damaged_headers_import_rightly_or_leave_nothing(data: st.DataObject) -> None:
    """A damaged folder gives a FileError, or a model that holds what a second reader reads; never another exception."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        write_model(folder, tables=TABLE_SHAPES)
        which = data.draw(st.sampled_from(["quant_params.h", "lerp_psa_params.h"]))
        text = data.draw(damaged((folder / which).read_text()))
        (folder / which).write_bytes(text.encode("latin-1"))
        try:
            model = import_headers(folder)
        except FileError:
            return
        assert_holds(model, read_slowly(text))


# --- published data ---


def test_published_folders_import(published: Path, tmp_path: Path) -> None:
    """All three are read with the paper's dimensions; the saved models load as they were."""
    for folder, psa, layout in [
        ("stream_psa_h96", True, "out-in"),
        ("stream_relu_h96", False, "out-in"),
        ("simd_psa_h96", True, "in-out"),
    ]:
        model = import_headers(published / folder)
        points, rule = (64, TableRule.CLAMP) if psa else (0, None)
        assert recognise_resmlp(model.graph) == ResMLPConfig(64, 48, 96, 96, 4, 10, points, rule)
        assert (model.name, model.provenance["layout"]) == (folder, layout)
        save(model, tmp_path / folder)
        assert load(tmp_path / folder) == model


def test_published_arrays_are_read_value_for_value(published: Path) -> None:
    """A second reader finds the same numbers in every published header."""
    paths = sorted(published.glob("*/*.h"))
    assert len(paths) == 10
    for path in paths:
        arrays, expected = read_header_arrays(path), read_slowly(path.read_text())
        assert arrays.keys() == expected.keys()
        for name, array in arrays.items():
            assert array.dtype == expected[name].dtype
            assert np.array_equal(array, expected[name])


def test_published_designs_hold_the_same_network(published: Path) -> None:
    """The SIMD design's headers are the streaming design's, laid out differently: weights and tables agree."""
    stream, simd = import_headers(published / "stream_psa_h96"), import_headers(published / "simd_psa_h96")
    assert simd.graph == stream.graph
    assert model_sha256(simd) == model_sha256(stream)


def test_published_layout_is_not_what_its_shapes_deny(published: Path) -> None:
    """Forcing the other layout on a published folder is refused."""
    with pytest.raises(FileError, match="'embed_linear_w'"):
        import_headers(published / "simd_psa_h96", "out-in")
    with pytest.raises(FileError, match="'embed_linear_w'"):
        import_headers(published / "stream_relu_h96", "in-out")


@pytest.mark.parametrize(
    ("folder", "layout"), [("stream_psa_h96", "out-in"), ("stream_relu_h96", "out-in"), ("simd_psa_h96", "in-out")]
)
def test_published_headers_survive_a_round_trip(published: Path, tmp_path: Path, folder: str, layout: str) -> None:
    """Exported the way they came, the arrays are those of the published files, name for name."""
    model = import_headers(published / folder)
    for path in export_headers(model, tmp_path, layout):
        ours, theirs = read_header_arrays(path), read_header_arrays(published / folder / path.name)
        assert ours.keys() == theirs.keys()
        for name, array in ours.items():
            assert array.dtype == theirs[name].dtype
            assert np.array_equal(array, theirs[name])
    assert import_headers(tmp_path).graph == model.graph


def test_published_sample_headers_are_readable(published: Path) -> None:
    """Stage dumps are headers like any other, in up to three dimensions."""
    samples = read_header_arrays(published / "stream_relu_h96" / "quant_samples.h")
    assert samples["samples_input"].shape == (4, 64, 48)
    assert samples["samples_output"].shape == (4, 10)
    extra = read_header_arrays(published / "stream_relu_h96" / "quant_samples_extra.h")
    assert math.prod(extra["samples_mlp_post"].shape) == 64 * 96


def test_matrices_of_a_model_are_not_all_square(published: Path) -> None:
    """What the layout is seen from in the published models: embedding and classifier."""
    model = import_headers(published / "stream_relu_h96")
    shapes = {n.name: n.op.weight.shape for n in model.graph.nodes if isinstance(n.op, Linear)}
    assert [name for name, (n, k) in shapes.items() if n != k] == ["embed", "classifier"]
