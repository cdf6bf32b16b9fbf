"""ROM files and Verilog parameters, read back by hand."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings

from fxsim.contract import TableRule, stored_points
from fxsim.devices.stream import rtl_parameters, write_roms
from fxsim.errors import ModelError
from fxsim.families import ResMLPConfig, build_resmlp, resmlp_parameters
from fxsim.graph import Graph, Model, Node
from fxsim.operators import Axis, Linear
from tests.conftest import SEED
from tests.strategies import resmlp_models


def _random_model(config: ResMLPConfig) -> Model:
    rng = np.random.default_rng(SEED)
    parameters: dict[str, npt.NDArray[np.generic]] = {}
    for name, shape in resmlp_parameters(config).items():
        low, high, dtype = (0, 256, np.uint8) if name.endswith("shift") else (-128, 128, np.int8)
        parameters[name] = rng.integers(low, high, shape).astype(dtype)
    return Model(build_resmlp(config, parameters), "random")


def _words(path: Path) -> list[str]:
    text = path.read_text(encoding="ascii")
    assert text.endswith("\n")
    return text[:-1].split("\n")


def _signed(text: str) -> int:
    assert len(text) == 2
    value = int(text, 16)
    return value - 256 if value >= 128 else value


def _row(word: str) -> list[int]:
    """The bytes of a word, the least significant (rightmost) first."""
    return [_signed(word[i : i + 2]) for i in range(len(word) - 2, -1, -2)]


PSA = ResMLPConfig(tokens=4, values=3, channels=5, hidden=7, blocks=2, classes=6, points=8, rule=TableRule.ENDPOINT)


def test_every_documented_file_holds_its_parameters(tmp_path: Path) -> None:
    """Rows have input k at bits [8k +: 8]; biases are signed bytes, shifts unsigned ones; tables go by channel."""
    model = _random_model(PSA)
    paths = write_roms(model, tmp_path)
    assert sorted(paths) == sorted(tmp_path.iterdir())
    expected = {f"{name}_{part}.hex" for name in ("embed", "classifier") for part in "wbs"}
    for block in ("block00", "block01"):
        for name in ("res_affine", "affine_1", "linear", "affine_2"):
            expected |= {f"{block}_token_mixer_{name}_{part}.hex" for part in "wbs"}
        for name in ("res_affine", "linear_1", "linear_2"):
            expected |= {f"{block}_mlp_{name}_{part}.hex" for part in "wbs"}
        expected |= {f"{block}_mlp_{name}_t.hex" for name in ("psa_1", "psa_2")}
    assert {path.name for path in paths} == expected

    for node in model.graph.nodes:
        stem = node.name.replace("blocks.0.", "block00_").replace("blocks.1.", "block01_").replace(".", "_")
        op = node.op
        if hasattr(op, "table"):
            assert len(_words(tmp_path / f"{stem}_t.hex")) == op.table.shape[0] * 9
            assert [_signed(word) for word in _words(tmp_path / f"{stem}_t.hex")] == op.table.reshape(-1).tolist()
        if hasattr(op, "weight"):
            rows = op.weight if op.weight.ndim == 2 else op.weight[:, None]
            assert [_row(word) for word in _words(tmp_path / f"{stem}_w.hex")] == rows.tolist()
            assert [_signed(word) for word in _words(tmp_path / f"{stem}_b.hex")] == op.bias.tolist()
            assert [int(word, 16) for word in _words(tmp_path / f"{stem}_s.hex")] == op.shift.tolist()


@pytest.mark.slow
@settings(max_examples=20)
@given(model=resmlp_models())
def test_file_sizes_follow_from_the_parameters(model: Model, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Whatever the dimensions, each file has as many words as the Verilog reads with the parameters it is given."""
    folder = tmp_path_factory.mktemp("roms")
    write_roms(model, folder)
    p = rtl_parameters(model)
    rule = (TableRule.CLAMP, TableRule.HOLD, TableRule.ENDPOINT, TableRule.FULL)[p["TABLE_RULE"]]
    stored = stored_points(p["POINTS"], rule)
    sizes = {"embed": p["CHANNELS"], "classifier": p["CLASSES"]}
    for i in range(p["BLOCKS"]):
        sizes[f"block{i:02d}_token_mixer_linear"] = p["TOKENS"]
        sizes[f"block{i:02d}_mlp_linear_1"] = p["HIDDEN"]
        for name in ("token_mixer_res_affine", "token_mixer_affine_1", "token_mixer_affine_2", "mlp_res_affine"):
            sizes[f"block{i:02d}_{name}"] = p["CHANNELS"]
        sizes[f"block{i:02d}_mlp_linear_2"] = p["CHANNELS"]
    files = {f"{name}_{part}.hex": size for name, size in sizes.items() for part in "wbs"}
    if p["PSA"]:
        for i in range(p["BLOCKS"]):
            files |= {f"block{i:02d}_mlp_psa_1_t.hex": p["CHANNELS"] * stored}
            files |= {f"block{i:02d}_mlp_psa_2_t.hex": p["HIDDEN"] * stored}
    assert {path.name: len(_words(path)) for path in folder.iterdir()} == files


def test_parameters_of_a_psa_model() -> None:
    """Dimensions, table format and default accumulator widths arrive under their Verilog names."""
    assert rtl_parameters(_random_model(PSA)) == {
        "TOKENS": 4, "VALUES": 3, "CHANNELS": 5, "HIDDEN": 7, "BLOCKS": 2, "CLASSES": 6,
        "PSA": 1, "POINTS": 8, "TABLE_RULE": 2,
        "EMBED_ACC_W": 18, "MIX_ACC_W": 18, "LINEAR_1_ACC_W": 19, "LINEAR_2_ACC_W": 19, "CLASSIFIER_ACC_W": 19,
        "BLOCK_ROM": 0, "LANES": 1, "PACKED": 0,
    }  # fmt: skip


def test_widths_are_the_widest_of_all_blocks_and_legal() -> None:
    """One block that states a wide accumulator widens all; a stated width below one product's becomes a product's."""
    model = _random_model(ResMLPConfig(tokens=2, values=2, channels=2, hidden=2, blocks=2, classes=2))
    narrow = Linear(np.zeros((2, 2), np.int8), np.zeros(2, np.int8), np.zeros(2, np.uint8), acc_bits=2)
    nodes = []
    for node in model.graph.nodes:
        op = node.op
        if node.name == "blocks.1.mlp.linear_2":
            assert isinstance(op, Linear)
            op = Linear(op.weight, op.bias, op.shift, Axis.CHANNELS, 29)
        nodes.append(Node(node.name, narrow if node.name == "embed" else op, node.inputs))
    parameters = rtl_parameters(Model(Graph((2, 2), tuple(nodes)), "odd widths"))
    assert (parameters["LINEAR_2_ACC_W"], parameters["LINEAR_1_ACC_W"], parameters["EMBED_ACC_W"]) == (29, 17, 16)
    assert (parameters["PSA"], parameters["POINTS"]) == (0, 4)


def test_what_is_not_a_resmlp_is_refused(tmp_path: Path) -> None:
    """A graph of another kind gives a ModelError that says so, and no file."""
    linear = Linear(np.zeros((2, 2), np.int8), np.zeros(2, np.int8), np.zeros(2, np.uint8))
    model = Model(Graph((2, 2), (Node("only", linear, ("input",)),)), "other")
    with pytest.raises(ModelError, match="not a ResMLP"):
        write_roms(model, tmp_path)
    with pytest.raises(ModelError, match="not a ResMLP"):
        rtl_parameters(model)
    assert list(tmp_path.iterdir()) == []


def test_more_blocks_than_names_are_refused() -> None:
    """A hundred blocks have ROM files of their own; one more gives a ModelError that names both numbers."""
    small = {"tokens": 1, "values": 1, "channels": 1, "hidden": 1, "classes": 1}
    assert rtl_parameters(_random_model(ResMLPConfig(**small, blocks=100)))["BLOCKS"] == 100
    with pytest.raises(ModelError, match="up to 100 blocks, model 'random' has 101"):
        rtl_parameters(_random_model(ResMLPConfig(**small, blocks=101)))
