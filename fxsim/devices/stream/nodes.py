"""The streaming accelerator's modules one by one: a description of each, which another device simulates alone."""

import json
import shutil
from pathlib import Path

from fxsim.devices.base import NodeDesign
from fxsim.devices.stream.roms import node_files, rtl_parameters, stream_order, write_roms
from fxsim.devices.stream.settings import StreamSettings
from fxsim.errors import StimulusError
from fxsim.families import recognise_resmlp, resmlp_slots
from fxsim.graph import Model, Node
from fxsim.operators import (
    FEATURE_MAPS,
    Add,
    Affine,
    Axis,
    Conv,
    Linear,
    Lut,
    MaxPool,
    NotTaken,
    OperatorTable,
    Pool,
    Relu,
    Threshold,
)
from fxsim.paths import rtl_dir

_ADD_PAIR = """\
// Both operands of an `add` in one stream: x in the low byte, r in the high one.
module add_pair (
    input  wire        clk,
    input  wire        rst,
    input  wire [15:0] s_axis_tdata,
    input  wire        s_axis_tvalid,
    output wire        s_axis_tready,
    output wire [ 7:0] m_axis_tdata,
    output wire        m_axis_tvalid,
    input  wire        m_axis_tready
);
  wire r_tready;
  wire x_tready;
  assign s_axis_tready = x_tready && r_tready;
  add add_both (
      .clk(clk),
      .rst(rst),
      .s0_axis_tdata(s_axis_tdata[7:0]),
      .s0_axis_tvalid(s_axis_tvalid),
      .s0_axis_tready(x_tready),
      .s1_axis_tdata(s_axis_tdata[15:8]),
      .s1_axis_tvalid(s_axis_tvalid),
      .s1_axis_tready(r_tready),
      .m_axis_tdata(m_axis_tdata),
      .m_axis_tvalid(m_axis_tvalid),
      .m_axis_tready(m_axis_tready)
  );
endmodule
"""
_NOT_TAKEN = NotTaken("because it has no module of it")

_TOPS: OperatorTable[str] = OperatorTable(
    "the module of the streaming accelerator",
    {
        Linear: "linear",
        Affine: "affine",
        Relu: "relu",
        Lut: "activation_table",
        Add: "add_pair",
        Pool: "pool",
        Conv: _NOT_TAKEN,
        MaxPool: _NOT_TAKEN,
        Threshold: _NOT_TAKEN,
        **dict.fromkeys(FEATURE_MAPS, _NOT_TAKEN),
    },
)
_PAIR_FILE = "add_pair.v"
_DEFAULT = StreamSettings()


def write_nodes(model: Model, settings: StreamSettings, rtl: Path | None, folder: Path) -> tuple[NodeDesign, ...]:
    """Write a description of each node's module into a folder, and the Verilog.

    The modules are those of the folder `rtl`, or the accelerator's own. ModelError where the model does not fit it,
    StimulusError where a beat has several values.
    """
    if settings.beat != 1:
        raise StimulusError(
            f"modules of the accelerator 'stream' are described alone with beat 1, not with {settings.beat}"
        )
    parameters = rtl_parameters(model)
    config = recognise_resmlp(model.graph)
    shutil.copytree(rtl or rtl_dir(), folder / "rtl")
    (folder / _PAIR_FILE).write_text(_ADD_PAIR, encoding="ascii")
    sources = [path.relative_to(folder).as_posix() for path in sorted(folder.glob("rtl/**/*.v"))]
    found = []
    for slot, node in zip(resmlp_slots(config, config.psa), model.graph.nodes, strict=True):
        role = "MIX" if slot.over is Axis.TOKENS else slot.role.upper()
        own = _parameters(model, node, parameters, f"{role}_ACC_W")
        path = folder / f"{node.name}.toml"
        text = _description(model, node, [*sources, _PAIR_FILE], own)
        path.write_text(text, encoding="utf-8")
        found.append(NodeDesign(node.name, (node.name,), path))
    return tuple(found)


def module_of(node: Node) -> str:
    """The module that computes a node; the one of sums takes two streams."""
    return "add" if isinstance(node.op, Add) else _TOPS[type(node.op)]


def module_parameters(
    model: Model, node: Node, settings: StreamSettings = _DEFAULT
) -> tuple[dict[str, int], dict[str, bytes]]:
    """The parameters of the module that computes a node, and its ROM files by the names that it looks for by itself."""
    config = recognise_resmlp(model.graph)
    slots = dict(zip((n.name for n in model.graph.nodes), resmlp_slots(config, config.psa), strict=True))
    slot = slots[node.name]
    role = "MIX" if slot.over is Axis.TOKENS else slot.role.upper()
    files = {f"{module_of(node)}_{suffix}.hex": content for suffix, content in node_files(node).items()}
    own = _parameters(model, node, rtl_parameters(model, settings), f"{role}_ACC_W")
    if settings.beat != 1:
        lanes = {"OUTPUTS": settings.beat, "PACKED": int(settings.packed)}
        own |= lanes if isinstance(node.op, Linear) else {"LANES": settings.beat}
    return own, files


def describe_all(model: Model, settings: StreamSettings, rtl: Path | None, folder: Path) -> Path:
    """Write a description of the whole accelerator into a folder, with the Verilog and ROM files; returns its path.

    Every tap is described, at its ports. ModelError where the model does not fit it.
    """
    parameters, lanes = rtl_parameters(model, settings), settings.beat
    copied = shutil.copytree(rtl or rtl_dir(), folder / "rtl")
    write_roms(model, folder)
    sources = [path.relative_to(copied).as_posix() for path in sorted(copied.glob("**/*.v"))]
    lines = [
        'top = "stream_resmlp"',
        f"sources = {json.dumps(sources)}",
        f"parameters = {{ {', '.join(f'{name} = {value}' for name, value in parameters.items())} }}",
        'clock = "clk"',
        'reset = { signal = "rst" }',
        *("[[stream]]", 'role = "input"', 'prefix = "s_axis"', f"lanes = {lanes}"),
        *("[[stream]]", 'role = "output"', 'prefix = "m_axis"', f"lanes = {lanes}"),
    ]
    width = 8 * lanes
    for i, tap in enumerate(model.graph.taps):
        lines += ["[[tap]]", f"name = {json.dumps(tap)}", f'data = "mon_data[{width * i + width - 1}:{width * i}]"']
        lines += [f'valid = "mon_valid[{i}]"', f'ready = "mon_ready[{i}]"', f"lanes = {lanes}"]
        lines += ['order = ["channel", "token"]'] if stream_order(model, tap) is Axis.CHANNELS else []
    (copied / "design.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return copied / "design.toml"


def _parameters(model: Model, node: Node, of_top: dict[str, int], width: str) -> dict[str, int]:
    op, shape = node.op, model.graph.shapes[node.name]
    if isinstance(op, Linear):
        return {"IN": op.weight.shape[1], "OUT": op.weight.shape[0], "ACC_W": of_top[width]}
    if isinstance(op, Affine):
        return {"CHANNELS": shape[-1]}
    if isinstance(op, Lut):
        return {"CHANNELS": shape[-1], "POINTS": of_top["POINTS"], "TABLE_RULE": of_top["TABLE_RULE"]}
    if isinstance(op, Pool):
        return {"TOKENS": model.graph.shapes[node.inputs[0]][0], "CHANNELS": shape[-1]}
    return {}


def _description(model: Model, node: Node, sources: list[str], parameters: dict[str, int]) -> str:
    """The text of a description; JSON's texts, numbers and lists of them are TOML's, too."""
    op, top = node.op, _TOPS[type(node.op)]
    lines = [
        f"top = {json.dumps(top)}",
        f"sources = {json.dumps(sources)}",
        f"parameters = {{ {', '.join(f'{name} = {value}' for name, value in parameters.items())} }}",
        'clock = "clk"',
        'reset = { signal = "rst" }',
        "[[stream]]",
        'role = "input"',
        'prefix = "s_axis"',
        f"tensor = {json.dumps(node.inputs)}",
        f"lanes = {len(node.inputs)}",
    ]
    by_channel = stream_order(model, node.name) is Axis.CHANNELS
    order = 'order = ["channel", "token"]'
    lines += [order] if by_channel else []
    lines += ["[[stream]]", 'role = "output"', 'prefix = "m_axis"', f"tensor = {json.dumps(node.name)}"]
    lines += [order] if by_channel else []
    word = "row" if isinstance(op, Linear) else "value"
    memories = {"w": ("weight", word), "b": ("bias", "value"), "s": ("shift", "value")}
    if isinstance(op, Lut):
        memories = {"t": ("table", "value")}
    elif not isinstance(op, Linear | Affine):
        memories = {}
    for suffix, (field, word) in memories.items():
        lines += ["[[memory]]", f'file = "{top}_{suffix}.hex"', f'tensor = "{node.name}.{field}"', f'word = "{word}"']
    return "\n".join(lines) + "\n"
