"""Node by node: every module alone, given the model's values; one that is wrong hides nothing of the next."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from fxsim.cli.console import counted
from fxsim.cli.cosim import command
from fxsim.cosim import CosimRequest, cosim
from fxsim.cosim import nodes as nodes_module
from fxsim.cosim.nodes import NodesResult, run_nodes
from fxsim.devices import DEVICES, NodeDesign, Settings
from fxsim.devices.described.bind import bind
from fxsim.devices.described.check import check
from fxsim.devices.stream import write_roms
from fxsim.devices.stream.settings import StreamSettings
from fxsim.engines import run
from fxsim.errors import FileError
from fxsim.families import ResMLPConfig, build_resmlp
from fxsim.formats import save
from fxsim.graph import INPUT, Graph, Model, Node
from fxsim.operators import Add, Relu
from tests.conftest import obey_ctrl_c, own_cache
from tests.test_cosim import MODEL, X, edited_rtl, random_parameters
from tests.test_described import PIPELINE, PIPELINE_TOML, simulate
from tests.test_described import X as TOKENS

RELU_CONFIG = ResMLPConfig(tokens=4, values=3, channels=5, hidden=6, blocks=2, classes=3)
RELU_MODEL = Model(build_resmlp(RELU_CONFIG, random_parameters(RELU_CONFIG, 3)), "relu")


@pytest.mark.parametrize("model", [MODEL, RELU_MODEL], ids=["psa", "relu"])
def test_every_node_of_the_streaming_accelerator_has_a_description_that_fits(model: Model, tmp_path: Path) -> None:
    """Each is bound to its module, with the ROM files that the whole accelerator has for that node."""
    make = DEVICES["stream"].nodes
    assert make is not None
    (tmp_path / "roms").mkdir()
    roms = {path.name: path.read_bytes() for path in write_roms(model, tmp_path / "roms")}
    (tmp_path / "nodes").mkdir()
    designs = make(model, StreamSettings(), None, tmp_path / "nodes")
    assert [design.tap for design in designs] == list(model.graph.taps)
    taken = set()
    for design in designs:
        bound = bind(design.description, model)
        assert bound.part == (design.tap,)
        assert bound.inputs[0].tensors == model.graph.by_name[design.tap].inputs
        stem = design.tap.replace("blocks.0.", "block00.").replace("blocks.1.", "block01.").replace(".", "_")
        for file, content in bound.memories.items():
            own = f"{stem}_{file.rpartition('_')[2]}"
            assert content == roms[own]
            taken.add(own)
    assert taken == set(roms)


WRONG = {"blocks.0.mlp.psa_1", "blocks.0.mlp.psa_2", "pool"}
SOME = {*WRONG, "embed", "classifier"}
"""The wrong ones, and of the others one before them and one behind."""


@pytest.mark.verilator
@pytest.mark.thorough
@pytest.mark.parametrize("taps", [SOME, set(MODEL.graph.taps)], ids=len)
def test_wrong_modules_of_the_streaming_accelerator_are_all_found_and_no_other(
    taps: set[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Three nodes of two modules are wrong; those between and behind them are right, since they get right values."""
    device = DEVICES["stream"]
    assert device.nodes is not None
    monkeypatch.setattr(nodes_module, "DEVICES", {"stream": replace(device, nodes=only(taps, device.nodes))})
    rtl = edited_rtl(
        tmp_path,
        ("pool.v", "total[SUM_W-1:TOKEN_W] + {7'd0, total[TOKEN_W-1]}", "total[SUM_W-1:TOKEN_W]"),
        ("activation_table.v", "TABLE_RULE == CLAMP && in_last_segment[n]", "1'b0"),
    )
    done: list[tuple[int, int]] = []
    request = CosimRequest(MODEL, X, rtl=rtl, stall="random:1", power_on_seeds=(1,))
    result = run_nodes(request, progress=lambda n, of: done.append((n, of)))
    assert done == [(n + 1, len(taps)) for n in range(len(taps))]
    assert {node.tap for node in result.nodes} == taps
    wrong = {node.tap: node for node in result.nodes if not node.passed}
    assert set(wrong) == WRONG
    assert all(node.compared == node.values == len(X) * _size(node.tap) for node in result.nodes)
    # By hand: the mean without its rounding bit is one less wherever the sum of four is 2 or 3 above a multiple.
    before = run(MODEL, X, ["blocks.0.mlp.add"], "reference")["blocks.0.mlp.add"].astype(int).sum(axis=1)
    assert (wrong["pool"].differ, wrong["pool"].largest) == (int((before % 4 >= 2).sum()), 1)
    image, channel = (int(i) for i in np.argwhere(before % 4 >= 2)[0])
    first = wrong["pool"].first
    assert first is not None
    assert (first.tap, first.image, first.index) == ("pool", image, {"channel": channel})
    assert first.got == before[image, channel] // 4


def only(taps: set[str], make: Callable[..., tuple[NodeDesign, ...]]) -> Callable[..., tuple[NodeDesign, ...]]:
    """What makes the modules of some of the nodes."""
    return lambda *arguments: tuple(design for design in make(*arguments) if design.tap in taps)


def _size(tap: str) -> int:
    return int(np.prod(MODEL.graph.shapes[tap]))


# --- modules of a described design ------------------------------------------------------------------------------------

TWO = Model(Graph((3, 6), (Node("a", Relu(), (INPUT,)), Node("b", Relu(), ("a",)))), "two")
SUM = Model(Graph((3, 6), (Node("a", Relu(), (INPUT,)), Node("b", Add(), ("a", INPUT)))), "sum")


def of_part(into: str | list[str], out: str, top: str = "pipeline") -> str:
    """The description of a module of the two-stage design that computes a part of the model."""
    text = PIPELINE_TOML.replace('role = "input"', f'role = "input"\ntensor = {json.dumps(into)}')
    return text.replace('role = "output"', f'role = "output"\ntensor = "{out}"').replace('"pipeline"', f'"{top}"')


def two_stages(folder: Path, nodes: str = '["first.toml", "second.toml"]', **files: str) -> Path:
    """A design of two modules, the second of which keeps -64 to -1; its description, and one for each."""
    folder.mkdir()
    second = PIPELINE.replace("module pipeline", "module second").replace(
        "held[8*i + 7] ? 8'd0", "(held[8*i + 7] && !held[8*i + 6]) ? 8'd0"
    )
    both = """
    module both (input wire clk, input wire [143:0] x, output wire [143:0] y);
      wire [143:0] between;
      pipeline u_first (clk, x, between);
      second u_second (clk, between, y);
    endmodule
    """
    (folder / "pipeline.v").write_text(PIPELINE + second + both)
    top = PIPELINE_TOML.replace('"pipeline"', '"both"').replace("latency = 2", "latency = 4")
    (folder / "top.toml").write_text(f"nodes = {nodes}\n{top}")
    texts = {"first.toml": of_part("input", "a"), "second.toml": of_part("a", "b", "second")} | files
    for name, text in texts.items():
        (folder / name).write_text(text)
    return folder / "top.toml"


@pytest.mark.verilator
def test_modules_of_a_described_design_are_compared_one_by_one(tmp_path: Path) -> None:
    """The second keeps some negative values, which the first never gives: a fault where it is given the input."""
    path = two_stages(tmp_path / "d", '["first.toml"]')
    assert simulate(TWO, path).passed
    result = run_nodes(CosimRequest(TWO, TOKENS, "described", {"dut": str(path)}, power_on_seeds=(1,)))
    assert [(node.tap, node.passed, node.compared) for node in result.nodes] == [("a", True, 12 * 18)]
    assert result.missing == ("b",)
    whole = cosim(TWO, TOKENS, accel="described", dut=str(path.parent / "second.toml"), optimise="-O0")
    assert whole.passed
    assert whole.streams.unprobed == whole.streams.outside == ("a",)  # it is its input
    seen = check(path.parent / "second.toml", TWO)
    assert (seen.unprobed, seen.outside) == (("a",), ("a",))
    wrong = (path.parent / "first.toml").read_text().replace('"pipeline"', '"second"', 1)
    (path.parent / "first.toml").write_text(wrong)
    found = cosim(TWO, TOKENS, accel="described", dut=str(path.parent / "first.toml"), optimise="-O0")
    assert not found.passed
    assert found.streams.mismatches == int(((TOKENS < 0) & (TOKENS >= -64)).sum()) > 0


PAIR = """
module pair (input wire clk, input wire [287:0] x, output reg [143:0] y);
  integer i;
  reg signed [8:0] s;
  always @(posedge clk)
    for (i = 0; i < 18; i = i + 1) begin
      s = {x[16*i + 7], x[16*i +: 8]} + {x[16*i + 15], x[16*i + 8 +: 8]};
      y[8*i +: 8] <= s > 127 ? 8'd127 : s < -128 ? 8'h80 : s[7:0];
    end
endmodule
"""


@pytest.mark.verilator
def test_input_of_two_tensors_has_their_values_side_by_side(tmp_path: Path) -> None:
    """An add alone: in each beat the first operand's value comes before the second's."""
    path = two_stages(tmp_path / "d", **{"add.toml": of_part(["a", INPUT], "b", "pair")})
    text = (path.parent / "add.toml").read_text()
    text = (
        text.replace("lanes = 18", "lanes = 36", 1).replace("latency = 2", "latency = 1").replace("pipeline.v", "p.v")
    )
    (path.parent / "add.toml").write_text(text)
    (path.parent / "p.v").write_text(PAIR)
    right = cosim(SUM, TOKENS, accel="described", dut=str(path.parent / "add.toml"), optimise="-O0")
    assert right.passed
    (path.parent / "p.v").write_text(PAIR.replace("x[16*i + 8 +: 8]", "8'd0"))
    wrong = cosim(SUM, TOKENS, accel="described", dut=str(path.parent / "add.toml"), optimise="-O0")
    assert not wrong.passed
    origins = wrong.verdict.origins
    assert origins is not None
    assert [tap.nodes for tap in origins.local] == [("b",)]


@pytest.mark.verilator
def test_command_prints_a_table_or_json(tmp_path: Path) -> None:
    """Both say the same; a description that does not fit is refused before anything runs."""
    path = two_stages(tmp_path / "d")
    save(TWO, tmp_path / "m.safetensors")
    np.save(tmp_path / "x.npy", TOKENS)
    words = [str(tmp_path / "m.safetensors"), str(tmp_path / "x.npy"), "--dut", str(path), "--nodes", "--images", "2:9"]
    printed = CliRunner().invoke(command, words)
    assert printed.exit_code == 0, printed.output
    assert "PASSED: 2 nodes, every value equal" in printed.output
    assert (counted(0, "node"), counted(1, "node")) == ("0 nodes", "1 node")
    parsed = json.loads(CliRunner().invoke(command, [*words, "--json"]).stdout)
    assert parsed["passed"] is True
    assert [(node["tap"], node["differ"], node["compared"]) for node in parsed["nodes"]] == [
        ("a", 0, 7 * 18), ("b", 0, 7 * 18)
    ]  # fmt: skip
    (path.parent / "second.toml").write_text(of_part("a", "b", "third"))
    refused = CliRunner().invoke(command, words)
    assert refused.exit_code == 1
    assert "there is no module 'third'" in str(refused.exception)


def test_result_of_a_process_is_believed_only_where_all_of_it_agrees(tmp_path: Path) -> None:
    """A status, a count or a text that says otherwise is no pass; nor is a device without nodes."""
    design = nodes_module.NodeDesign("b", ("b",), tmp_path / "d.toml")
    tap = {"compared": 4, "mismatches": 0, "stalled_cycles": 0, "first_mismatch": None, "examples": [], "values": 4}
    said: dict[str, Any] = {
        "passed": True, "first_mismatch": None, "faults": [], "stopped": None, "taps": {}, "output": tap,
        "output_name": "y", "cycles": 9, "interval_cycles": 3, "origins": None,
    }  # fmt: skip

    def passes(status: int = 0, **changes: Any) -> bool:
        ended = nodes_module._Ended(status, json.dumps(said | changes).encode(), "fxsim: error: broken\n")
        return nodes_module._read(design, ended).passed

    assert passes()
    assert not passes(status=1)
    assert not passes(passed=False)
    assert not passes(output=tap | {"compared": 3})
    assert not passes(output=tap | {"compared": 0, "values": 0})
    broken = nodes_module._read(design, nodes_module._Ended(1, b"", "what\nfxsim: error: broken\n"))
    assert (broken.passed, broken.reason) == (False, "error: broken")
    assert not NodesResult(model="m", accel="a", images=1, stall="none", nodes=(), missing=()).passed


@pytest.mark.parametrize(
    ("into", "out", "words"),
    [
        ("c", "b", "input stream: the model has no tensor 'c'"),
        ("input", "input", "output stream: the model has no tensor 'input'"),
        (["a", "input"], "b", "'b' is not computed from 'input'"),
        ("b", "a", "'a' is not computed from b alone"),
    ],
)
def test_part_that_is_none_is_refused(tmp_path: Path, into: str | list[str], out: str, words: str) -> None:
    """The input of a part must be all that its output needs, and nothing else."""
    text = of_part(into, out).replace("lanes = 18", f"lanes = {18 if isinstance(into, str) else 36}", 1)
    design = PIPELINE if isinstance(into, str) else PIPELINE.replace("[143:0] x", "[287:0] x")
    path = two_stages(tmp_path / "d", **{"part.toml": text})
    (path.parent / "pipeline.v").write_text(design)
    with pytest.raises(FileError, match=words):
        bind(path.parent / "part.toml", TWO)


@pytest.mark.parametrize("model", [MODEL, RELU_MODEL], ids=["psa", "relu"])
def test_parts_of_the_simd_accelerator_compute_the_taps_of_the_model(model: Model) -> None:
    """Each part's own model, given the tensor before it, has the model's values at the part's taps; all taps, once."""
    make = DEVICES["simd"].nodes
    assert make is not None
    x = X if model is MODEL else np.random.default_rng(4).integers(-128, 128, (3, 4, 3)).astype(np.int8)
    right = run(model, x, model.graph.taps, "reference") | {INPUT: x}
    designs = make(model, Settings(), None, Path())
    assert [tap for design in designs for tap in design.part] == list(model.graph.taps)
    for design in designs:
        assert design.own is not None
        found = run(design.own.model, right[design.own.tensor], list(design.own.names), "reference")
        for own, tap in design.own.names.items():
            assert np.array_equal(found[own], right[tap]), tap


@pytest.mark.verilator
@pytest.mark.thorough
def test_wrong_parts_of_the_simd_accelerator_are_all_found_and_no_other(tmp_path: Path) -> None:
    """Sums are wrong by a bit: every part with an add is wrong, at the add; those before and behind it are right."""
    rtl = edited_rtl(tmp_path, ("saturating_add.v", "fits ? sum[7:0]", "fits ? sum[7:0] ^ 8'd1"))
    result = run_nodes(CosimRequest(MODEL, X, "simd", rtl=rtl, images=(1, 3), power_on_seeds=(1,)))
    wrong = {node.tap: node for node in result.nodes if not node.passed}
    assert set(wrong) == {"blocks.0.token_mixer.add", "blocks.0.mlp.add"}
    assert {node.first.tap for node in wrong.values() if node.first is not None} == set(wrong)
    assert all(node.first is not None and node.first.image >= 1 for node in wrong.values())
    assert all(node.compared == node.values > 0 for node in result.nodes)


def test_what_has_no_nodes_is_refused(tmp_path: Path) -> None:
    """By name, with what is expected."""
    path = two_stages(tmp_path / "d", "[]")
    for nodes, words in (
        ("[]", "lists no nodes"),
        ('["../first.toml"]', "leads out of the folder"),
        ('["first.toml", "again.toml"]', "'again.toml' and 'first.toml' both compute 'a'"),
    ):
        path = two_stages(tmp_path / words[:5].replace("'", ""), nodes, **{"again.toml": of_part("input", "a")})
        with pytest.raises(FileError, match=words):
            run_nodes(CosimRequest(TWO, TOKENS, "described", {"dut": str(path)}))


@pytest.mark.verilator
def test_interrupted_command_leaves_no_process_and_no_file(tmp_path: Path) -> None:
    """Ctrl-C while nodes are simulated: the status says so, and what they had written is gone."""
    path = two_stages(tmp_path / "d")
    save(TWO, tmp_path / "m.safetensors")
    np.save(tmp_path / "x.npy", TOKENS)
    (tmp_path / "temporary").mkdir()
    words = [sys.executable, "-m", "fxsim", "cosim", "m.safetensors", "x.npy", "--dut", str(path), "--nodes"]
    environment = os.environ | {"TMPDIR": str(tmp_path / "temporary"), "FXSIM_CACHE": str(own_cache(tmp_path))}
    with subprocess.Popen(words, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, preexec_fn=obey_ctrl_c) as run_:
        deadline = time.monotonic() + 60
        while not list((tmp_path / "temporary").glob("*/0.json")):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        run_.send_signal(signal.SIGINT)
        assert run_.wait(60) == 130
    assert list((tmp_path / "temporary").iterdir()) == []
    left = [line for line in Path("/proc").glob("[0-9]*/cmdline") if str(tmp_path) in _command_line(line)]
    assert left == []


def _command_line(path: Path) -> str:
    try:
        return path.read_bytes().decode(errors="replace")
    except OSError:
        return ""
