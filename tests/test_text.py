"""Text that nobody vouches for: bounds before parsing, byte-order marks, line ends, keys that stand twice."""

import time
import tomllib
import tracemalloc
from pathlib import Path
from typing import Any

import msgspec
import pytest
import tomlkit
from hypothesis import given
from hypothesis import strategies as st

from fxsim.errors import FileError, FxsimError
from fxsim.formats.text import (
    DEPTH_MAX,
    ENTRIES_MAX,
    WORD_MAX,
    decode_json,
    decode_toml,
    plain_line_ends,
    read_bounded,
    strip_mark,
)
from fxsim.golden.manifest import read_manifest as read_golden
from fxsim.networks.resmlp import Activation, NetworkConfig
from fxsim.signoff import load_plan, read_record
from fxsim.training.recipe import load_recipe
from fxsim.vectors import draw_stimulus
from fxsim.vectors.manifest import read_manifest as read_vectors

MEBIBYTE = 1 << 20


def toml(text: str | bytes) -> dict[str, Any]:
    """A TOML text, with no wishes about its content."""
    return decode_toml("x.toml", text if isinstance(text, bytes) else text.encode(), dict, "a text")


def json(text: str | bytes) -> Any:
    """A JSON text, with no wishes about its content."""
    return decode_json("x.json", text if isinstance(text, bytes) else text.encode(), object, "a text")


# --- TOML ---

HOSTILE_TOML = {
    "dotted key": ".".join(["a"] * (MEBIBYTE // 2)) + "=1",
    "dotted key of 20 KB": ".".join(["a"] * 10_000) + "=1",
    "dotted key in quotes": ".".join(['"a"'] * (MEBIBYTE // 4)) + "=1",
    "dotted key after a string": "a = \"\\\"\" # \"\nb = ''''''\n" + ".".join(["a"] * 10_000) + "=1",
    "dotted table": "[" + ".".join(["a"] * 10_000) + "]",
    "dotted key in a table": "a = {" + ".".join(["a"] * 10_000) + "=1}",
    "nested arrays": "a=" + "[" * 100_000,
    "nested tables": "a=" + "{a=" * 100_000,
    "many tables": "".join(f"[k{i}]\n" for i in range(ENTRIES_MAX)),
    "many keys": "".join(f"k{i}=1\n" for i in range(ENTRIES_MAX)),
    "long number": "a=" + "9" * 5000,
    "long hexadecimal number": "a=0x" + "f" * 5000,
    "long negative number": "a=-" + "9" * 5000,
    "long number in an array": "a=[1, " + "9" * 5000 + "]",
    "long key": "a" * (WORD_MAX + 1) + "=1",
}


@pytest.mark.parametrize("case", HOSTILE_TOML)
def test_hostile_toml_is_refused_before_it_is_parsed(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes the parser time or memory out of proportion never reaches it, and is named with its line."""
    monkeypatch.setattr(msgspec.toml, "decode", lambda *_, **__: pytest.fail("was parsed"))
    start = time.process_time()
    with pytest.raises(FileError, match=r"^x\.toml: line \d+: .*(at most|deep|the most)") as caught:
        toml(HOSTILE_TOML[case])
    assert len(str(caught.value)) < 200
    assert time.process_time() - start < 5  # a megabyte takes tenths of a second


@pytest.mark.slow
def test_the_largest_toml_takes_bounded_time_and_memory() -> None:
    """At every bound at once, deep tables as many as may be, a text takes seconds at most and under 200 MiB."""
    text = "".join("[" + ".".join([f"k{i}"] * DEPTH_MAX) + "]\n" for i in range(ENTRIES_MAX // (DEPTH_MAX + 1)))
    tracemalloc.start()
    try:
        start = time.process_time()
        assert len(toml(text)) == ENTRIES_MAX // (DEPTH_MAX + 1)
        assert time.process_time() - start < 20  # memory is traced meanwhile
        assert tracemalloc.get_traced_memory()[1] < 200 << 20
    finally:
        tracemalloc.stop()


def test_toml_at_the_bounds_is_read() -> None:
    """The deepest key, longest number, and long texts, comments and quoted keys are no concern of the bounds."""
    deepest = ".".join("a" * DEPTH_MAX)
    value = toml(f"{deepest} = 1")
    for _ in range(DEPTH_MAX - 1):
        value = value["a"]
    assert value == {"a": 1}
    assert toml("a = " + "9" * WORD_MAX) == {"a": int("9" * WORD_MAX)}
    long = "x.y" * 10_000
    assert toml(f"# {long}\na = \"{long}\"\nb = '{long}'\nc = '''\n{long}'''\n'{long}' = 1") == {
        "a": long,
        "b": long,
        "c": long,
        long: 1,
    }


_NESTED = st.recursive(
    st.integers(-(2**63), 2**63 - 1) | st.text(st.characters(codec="utf-8"), max_size=20) | st.booleans(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab.\"' #[", max_size=5), inner, max_size=3),
    max_leaves=10,
)


@pytest.mark.slow
@given(st.dictionaries(st.text("abc-_.\"'#[]{} é", max_size=8), _NESTED, max_size=4))
def test_bounds_refuse_nothing_usual(content: dict[str, Any]) -> None:
    """Any small content, whatever its keys and texts hold, is read as it was written."""
    assert toml(tomlkit.dumps(content)) == content


@given(st.text("ab.=\"'\\#[]{}\n 1\t", max_size=40))
def test_toml_is_read_as_python_reads_it(text: str) -> None:
    """On short texts of the characters that matter, the result is Python's own, or both refuse."""
    try:
        expected = tomllib.loads(text)
    except ValueError:
        with pytest.raises(FileError):
            toml(text)
    else:
        assert toml(text) == expected


# --- marks, line ends, encodings ---


def test_marks_and_line_ends_are_read_or_told() -> None:
    """UTF-8's mark is passed over, CR LF and CR throughout are line ends; other encodings are called by name."""
    for text in (b"\xef\xbb\xbfa=1\nb=2", b"a=1\r\nb=2\r\n", b"a=1\rb=2\r", b"\xef\xbb\xbfa=1\rb=2"):
        assert toml(text) == {"a": 1, "b": 2}
    for text in (b'\xef\xbb\xbf{"a":\n1}', b'{"a":\r\n1}', b'{"a":\r1}'):
        assert json(text) == {"a": 1}
    with pytest.raises(FileError, match=r"^x\.toml: line 2: a carriage return stands alone"):
        toml(b"a=1\nb=2\rc=3\n")
    for encoding, name in (("utf-16", "UTF-16"), ("utf-32", "UTF-32"), ("utf-8-sig", None)):
        data = '{"a": 1}'.encode(encoding)
        if name is None:
            assert json(data) == {"a": 1}
            continue
        for decode in (json, toml):
            with pytest.raises(FileError, match=f"byte-order mark of {name}, expected UTF-8"):
                decode(data)
    with pytest.raises(FileError, match="byte-order mark of UTF-16"):
        strip_mark("x", "a".encode("utf-16-be").join((b"\xfe\xff", b"")))
    for decode in (json, toml):
        with pytest.raises(FileError, match="line 3: byte 0xe9 is not UTF-8, expected a text"):
            decode("\n\né".encode("latin-1"))


@given(st.lists(st.sampled_from([b"a", b"\r", b"\n", b"\r\n"]), max_size=8))
def test_line_ends_become_line_feeds(parts: list[bytes]) -> None:
    """Python's own idea of lines is kept wherever the text is taken."""
    data = b"".join(parts)
    try:
        plain = plain_line_ends("x", data)
    except FileError:
        # Both kinds of line end, one of them a carriage return alone.
        assert b"\n" in data
        assert b"\r" in data.replace(b"\r\n", b"")
        return
    assert b"\r" not in plain
    assert plain.splitlines() == data.splitlines()


# --- JSON ---


@pytest.mark.parametrize(
    "text",
    ['{"a": 1, "a": 2}', '[{"b": {"a": 1, "c": 2, "a": 1}}]', '{"a": 1, "\\u0061": 1}', '{"x": [], "a": {}, "a": {}}'],
)
def test_a_key_that_stands_twice_is_refused(text: str) -> None:
    """At whatever depth, however it is written, with whatever values."""
    with pytest.raises(FileError, match=r"^x\.json: key 'a' stands twice"):
        json(text)


def test_json_out_of_bounds_is_one_line() -> None:
    """Long numbers, deep nestings and damaged texts are the project's own errors, and short."""
    for text in ("9" * 5000, f'{{"a": {"9" * 5000}}}', "[" * 100_000, '{"a":' * 100_000, "{", "", "nan", '"\\ud800"'):
        with pytest.raises(FileError, match=r"^x\.json: is not a text: ") as caught:
            json(text)
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 700
    # Of any length, where no number was asked for.
    with pytest.raises(FileError, match=r"^x\.json: is not a text"):
        decode_json("x.json", ("[" + "9" * 100_000 + "]").encode(), list[str], "a text")


@pytest.mark.slow
@given(st.dictionaries(st.text(max_size=3), _NESTED, max_size=4))
def test_json_is_read_as_it_was_written(content: dict[str, Any]) -> None:
    """What an encoder writes has no key twice, and comes back."""
    assert json(msgspec.json.encode(content)) == content


def test_files_are_read_up_to_their_bound(tmp_path: Path) -> None:
    """A file of the bound is read, one byte more is not, nor a folder, an absent file or an endless device."""
    path = tmp_path / "a"
    path.write_bytes(b"x" * 10)
    assert read_bounded(path, 10, "a text") == b"x" * 10
    with pytest.raises(FileError, match="is larger than 9 bytes, the most that is read of a text"):
        read_bounded(path, 9, "a text")
    for bad in (tmp_path, tmp_path / "absent"):
        with pytest.raises(FileError, match=r"cannot be read: .*expected a text"):
            read_bounded(bad, 10, "a text")
    with pytest.raises(FileError, match="is larger than"):
        read_bounded(Path("/dev/zero"), MEBIBYTE, "a text")


# --- every reader ---

RECIPE = """
name = "x"
data = {{ source = "digits", size = 8, colours = {colours}, patch = 2 }}
train = {{ epochs = 1 }}

[network]
channels = {channels}
hidden = {channels}
blocks = {blocks}
activation = "b-spline"
points = {points}
"""
USUAL = {"colours": "1", "channels": "16", "blocks": "2", "points": "64"}
PLAN = """
title = "t"
seed = 1
models.a.{model}
[[check]]
kind = "accumulators"
name = "a"
models = ["a"]
"""
GENERATED = "generate = {{ grid = [{grid}, 2], patch = {patch}, channels = 4, hidden = 4, blocks = 1, classes = 3 }}"
RANDOM = "random = {{ tokens = {tokens}, values = 3, channels = {channels}, hidden = 4096, blocks = 256, classes = 3 }}"


@pytest.mark.parametrize("number", [300_000_000, 10**26, 10**199, "9" * 5000])
@pytest.mark.parametrize("field", USUAL)
def test_numbers_of_a_recipe_are_bounded_before_use(field: str, number: int | str, tmp_path: Path) -> None:
    """Every number that sizes something is refused by name, without allocating a byte for it."""
    path = tmp_path / "recipe.toml"
    path.write_text(RECIPE.format(**USUAL | {field: number}))
    tracemalloc.start()
    try:
        with pytest.raises(FileError, match=r"recipe\.toml: .*(\$\.(data|network)\.|line \d)"):
            load_recipe(path)
        assert tracemalloc.get_traced_memory()[1] < 10 << 20
    finally:
        tracemalloc.stop()
    path.write_text(RECIPE.format(**USUAL))
    assert load_recipe(path).network.channels == 16


@pytest.mark.parametrize(
    "model",
    [
        GENERATED.format(grid=10**9, patch=1),
        GENERATED.format(grid=1, patch=10**26),
        GENERATED.format(grid=64, patch=64),
        RANDOM.format(tokens=4, channels=300_000_000),
        RANDOM.format(tokens=4096, channels=1),
        RANDOM.format(tokens=4, channels=4096),
    ],
)
def test_numbers_of_a_plan_are_bounded_before_use(model: str, tmp_path: Path) -> None:
    """Dimensions of models that a plan has made are bounded, each and together."""
    path = tmp_path / "plan.toml"
    path.write_text(PLAN.format(model=model))
    with pytest.raises(FileError, match=r"plan\.toml: is not a sign-off plan: .*\$\.models"):
        load_plan(path)
    path.write_text(PLAN.format(model=GENERATED.format(grid=2, patch=2)))
    assert load_plan(path).title == "t"


def test_networks_and_stimuli_are_bounded_as_a_whole() -> None:
    """Dimensions that are each possible and together fill a memory are refused before anything is built."""
    with pytest.raises(FxsimError, match=r"network has about 8,589,[0-9,]+ parameters, expected at most 268,435,456"):
        NetworkConfig(tokens=1, values=1, channels=4096, hidden=4096, blocks=256, classes=1, activation=Activation.RELU)
    with pytest.raises(FxsimError, match="parameters"):
        NetworkConfig(
            tokens=1, values=1, channels=4096, hidden=1, blocks=1, classes=1, activation="b-spline", points=65_536
        )  # type: ignore[arg-type]
    with pytest.raises(FxsimError, match="a stimulus of 1,000,000,000 values was asked for"):
        draw_stimulus("extreme", 1000, (1000, 1000), 1)


def test_every_reader_of_text_has_the_bounds(tmp_path: Path) -> None:
    """Plans, recipes, manifests and records take a mark, name an encoding, and refuse a key that stands twice."""
    (tmp_path / "manifest.json").write_text('{"format": "x", "format": "x"}')
    (tmp_path / "a").write_bytes("a = 1".encode("utf-16"))
    (tmp_path / "b").write_text("x.y.z = " + "9" * 5000)
    for read in (load_plan, load_recipe):
        for name, message in (("a", "UTF-16"), ("b", "line 1: .*5,000 characters")):
            with pytest.raises(FileError, match=message):
                read(tmp_path / name)
    for read_json in (read_golden, read_vectors):
        with pytest.raises(FileError, match=r"manifest\.json: "):
            read_json(tmp_path)
    with pytest.raises(FileError, match=r"manifest\.json: "):
        read_record(tmp_path / "manifest.json")
    mark = b"\xef\xbb\xbf"
    (tmp_path / "recipe.toml").write_bytes(mark + RECIPE.format(**USUAL).replace("\n", "\r\n").encode())
    assert load_recipe(tmp_path / "recipe.toml").name == "x"


def test_known_bad_files_are_one_line(cases: Path) -> None:
    """A plan and a recipe whose integer of 5,000 digits once ended in a traceback."""
    with pytest.raises(FileError, match="5,000 characters"):
        load_plan(cases / "files" / "plan_longint.toml")
    with pytest.raises(FileError, match="5,000 characters"):
        load_recipe(cases / "files" / "recipe_longint.toml")
