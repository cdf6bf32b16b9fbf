"""Proposing a map: signals of another tool told to be taps by their counts and by agreement with the model."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from fxsim.cli import main
from fxsim.errors import FileError
from fxsim.formats import save
from fxsim.graph import INPUT, Graph, Model, Node
from fxsim.operators import Add, Relu
from fxsim.traces import map_text, read_map, read_trace
from fxsim.traces.match import Match, Sure, match
from tests.conftest import SEED

Array = npt.NDArray[Any]

IMAGES, TOKENS, CHANNELS = 4, 4, 6


@pytest.fixture
def model() -> Model:
    """Twice the input, saturated, and what of it is positive."""
    nodes = (Node("sum", Add(), (INPUT, INPUT)), Node("positive", Relu(), ("sum",)))
    return Model(Graph((TOKENS, CHANNELS), nodes), "toy")


@pytest.fixture
def x() -> Array:
    """Images of small values, so that nothing saturates."""
    return np.random.default_rng(SEED).integers(-60, 60, (IMAGES, TOKENS, CHANNELS)).astype(np.int8)


@pytest.fixture
def taps(x: Array) -> dict[str, Array]:
    """The taps' values, by numpy alone."""
    return {"sum": 2 * x, "positive": np.maximum(2 * x, 0)}


def proposed(found: Match) -> dict[str, tuple[str, str]]:
    """Signal and sureness by tap."""
    return {p.tap: (p.signal, str(p.sure)) for p in found.proposals}


def read_back(found: Match, path: Path, model: Model) -> dict[str, Any]:
    """The trace's arrays with the map that was proposed, through its file."""
    content = found.content()
    assert content is not None
    file = path.parent / "proposed.toml"
    file.write_text(map_text(content))
    return dict(read_trace(path, model, IMAGES, read_map(file, model)).arrays)


def test_arrays_of_other_names_and_orders(model: Model, x: Array, taps: dict[str, Array], tmp_path: Path) -> None:
    """An array turned round, and one of unsigned codes, are found among others; the map reads them right."""
    path = tmp_path / "t.npz"
    noise = np.random.default_rng(1).integers(-128, 128, x.shape).astype(np.int8)
    turned = np.ascontiguousarray(taps["positive"].transpose(0, 2, 1))
    np.savez(path, a=noise, b=turned, c=taps["sum"].view(np.uint8), d=np.zeros(7))
    found = match(model, x, path, engine="reference")
    assert proposed(found) == {"sum": ("c", "sure"), "positive": ("b", "sure")}
    assert [p.entry.order for p in found.proposals] == [None, ("channel", "token")]
    assert found.proposals[0].entry.signed is True
    assert all(p.agreement == 1.0 and p.next_best < 1.0 and p.chance < 0.5 for p in found.proposals)
    arrays = read_back(found, path, model)
    for tap, values in taps.items():
        np.testing.assert_array_equal(arrays[tap], values)


def test_what_cannot_be_told_is_ambiguous(model: Model, x: Array, taps: dict[str, Array], tmp_path: Path) -> None:
    """Noise is nothing's tap; a tap that two arrays agree with as well is ambiguous, and in no map."""
    path = tmp_path / "t.npz"
    noise = np.random.default_rng(1).integers(-128, 128, x.shape).astype(np.int8)
    np.savez(path, noise=noise)
    found = match(model, x, path, engine="reference")
    assert {p.sure for p in found.proposals} == {Sure.AMBIGUOUS}
    assert found.content() is None
    # One value of each is wrong, another one each: neither is better.
    one, other = taps["sum"].copy(), taps["sum"].copy()
    one[0, 0, 0] ^= 1
    other[0, 0, 1] ^= 1
    np.savez(path, one=one, other=other)
    found = match(model, x, path, engine="reference")
    sum_tap = next(p for p in found.proposals if p.tap == "sum")
    assert sum_tap.sure is Sure.AMBIGUOUS
    assert sum_tap.rival is not None
    assert sum_tap.agreement == sum_tap.next_best == 1 - 1 / x.size
    # Alone, with wrong values, it is likely, never sure.
    np.savez(path, one=one)
    (sum_tap,) = (p for p in match(model, x, path, engine="reference").proposals if p.tap == "sum")
    assert sum_tap.sure is Sure.LIKELY


def test_counts_decide_first(model: Model, x: Array, taps: dict[str, Array], tmp_path: Path) -> None:
    """An array of more or fewer images is no tap, however well it agrees."""
    path = tmp_path / "t.npz"
    np.savez(path, a=taps["sum"][:3], b=np.concatenate([taps["sum"], taps["sum"]]))
    found = match(model, x, path, engine="reference")
    assert found.proposals == ()
    assert found.unmatched_taps == ("sum", "positive")


def test_files_of_a_folder(model: Model, x: Array, taps: dict[str, Array], tmp_path: Path) -> None:
    """Decimal and packed hexadecimal files of a folder, called anything, are told apart."""
    folder = tmp_path / "dumps"
    folder.mkdir()
    (folder / "one.dat").write_text("".join(f"{v}\n" for v in taps["sum"].reshape(-1).tolist()))
    packed = taps["positive"].view(np.uint8).reshape(-1, 3)
    (folder / "two.hex").write_text("".join(f"{int.from_bytes(row.tobytes(), 'big'):06x}\n" for row in packed))
    found = match(model, x, folder, engine="reference")
    assert proposed(found) == {"sum": ("one.dat", "sure"), "positive": ("two.hex", "sure")}
    assert (found.proposals[1].entry.lanes, found.proposals[1].entry.lane_order) == (3, "high-first")
    arrays = read_back(found, folder, model)
    for tap, values in taps.items():
        np.testing.assert_array_equal(arrays[tap], values)


@pytest.mark.slow
def test_signals_and_handshakes_of_a_wave(model: Model, x: Array, taps: dict[str, Array], tmp_path: Path) -> None:
    """The clock, the signal, its lanes, and its valid and ready are found in a wave; the map reads it right."""
    declared = {
        "clk": 1,
        "u.out": 16,
        "u.out_valid": 1,
        "u.out_ready": 1,
        "u.busy": 1,
        "u.state": 8,
        "w.q": 8,
        "w.q_v": 1,
    }
    signs = {name: chr(33 + i) for i, name in enumerate(declared)}
    text = "$timescale 1ns $end\n$scope module tb $end\n$var wire 1 ! clk $end\n"
    for scope in ("u", "w"):
        text += f"$scope module {scope} $end\n"
        text += "".join(
            f"$var wire {width} {signs[name]} {name[2:]} $end\n"
            for name, width in declared.items()
            if name.startswith(f"{scope}.")
        )
        text += "$upscope $end\n"
    text += "$upscope $end\n$enddefinitions $end\n#0\n0!\n"
    words = [int.from_bytes(pair.tobytes(), "little") for pair in taps["sum"].view(np.uint8).reshape(-1, 2)]
    others = taps["positive"].reshape(-1).tolist()
    rng, time, sent, passed = np.random.default_rng(SEED), 0, 0, 0
    while sent < len(words) or passed < len(others):
        valid, ready, v = (int(bit) for bit in rng.integers(0, 2, 3))
        time += 10
        text += (
            f"#{time}\n1!\n{valid if sent < len(words) else 0}{signs['u.out_valid']}\n{ready}{signs['u.out_ready']}\n"
        )
        text += f"{rng.integers(2)}{signs['u.busy']}\nb{rng.integers(256):b} {signs['u.state']}\n"
        if valid and sent < len(words):
            text += f"b{words[sent]:b} {signs['u.out']}\n"
            sent += ready
        text += f"{v if passed < len(others) else 0}{signs['w.q_v']}\n"
        if v and passed < len(others):
            text += f"b{others[passed]:b} {signs['w.q']}\n"
            passed += 1
        text += f"#{time + 5}\n0!\n"
    path = tmp_path / "t.vcd"
    path.write_text(f"{text}#{time + 10}\n1!\n")
    found = match(model, x, path, engine="reference")
    assert found.sampling.clock == "tb.clk"
    assert proposed(found) == {"sum": ("tb.u.out", "sure"), "positive": ("tb.w.q", "sure")}
    entry = found.proposals[0].entry
    assert (entry.lanes, {entry.valid, entry.ready}) == (2, {"tb.u.out_valid", "tb.u.out_ready"})
    assert (entry.valid, found.proposals[1].entry.valid) == ("tb.u.out_valid", "tb.w.q_v")
    arrays = read_back(found, path, model)
    for tap, values in taps.items():
        np.testing.assert_array_equal(arrays[tap], values)
    with pytest.raises(FileError, match="no signal whose name begins with 'nowhere'"):
        match(model, x, path, engine="reference", scope="nowhere")
    path.write_text(text.replace(" clk ", " tick "))
    with pytest.raises(FileError, match=r"which signal is the clock is not clear .* expected --clock NAME"):
        match(model, x, path, engine="reference")


def test_columns_of_a_table(model: Model, x: Array, taps: dict[str, Array], tmp_path: Path) -> None:
    """A column of a logic analyser and its valid are found by what they hold, whatever the radix."""
    path = tmp_path / "t.csv"
    rows = ["index,data,ok"]
    for i, value in enumerate(taps["sum"].reshape(-1).tolist()):
        rows += [f"{3 * i},{value},1", f"{3 * i + 1},77,0"]
    path.write_text("\n".join(rows) + "\n")
    found = match(model, x, path, engine="reference")
    best = next(p for p in found.proposals if p.tap == "sum")
    assert (best.signal, best.entry.valid, best.sure) == ("data", "ok", Sure.SURE)
    np.testing.assert_array_equal(read_back(found, path, model)["sum"], taps["sum"])


def test_match_command(model: Model, x: Array, taps: dict[str, Array], tmp_path: Path) -> None:
    """`fxsim trace match` writes a map with which `fxsim compare` passes; where nothing is found it writes none."""
    save(model, tmp_path / "m.safetensors")
    np.save(tmp_path / "x.npy", x)
    np.savez(tmp_path / "t.npz", a=taps["positive"], b=taps["sum"])
    arguments = [str(tmp_path / "m.safetensors"), "--input", str(tmp_path / "x.npy")]
    map_file = tmp_path / "map.toml"

    def status(*words: str) -> object:
        with pytest.raises(SystemExit) as caught:
            main(list(words))
        return caught.value.code

    trace = str(tmp_path / "t.npz")
    assert status("trace", "match", *arguments, trace, "-o", str(map_file), "--engine", "reference") == 0
    compared = ("compare", *arguments, "--trace", trace, "--against", "reference", "--taps", "all")
    assert status(*compared, "--map", str(map_file)) == 0
    assert status(*compared) == 1
    map_file.unlink()
    np.savez(trace, a=np.zeros_like(taps["sum"]))
    assert status("trace", "match", *arguments, trace, "-o", str(map_file), "--engine", "reference") == 1
    assert not map_file.exists()
