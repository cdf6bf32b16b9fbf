"""Sign-off of networks that others published: what passes, what a changed value or digest does, what is absent."""

import json
import shutil
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fxsim.errors import FileError
from fxsim.signoff import CheckRecord, Status, load_plan, run_plan
from fxsim.signoff.checks.published_network import NETWORKS
from fxsim.signoff.comparison import Comparison
from fxsim.signoff.listener import Silence


@pytest.fixture(autouse=True)
def _no_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plans find networks where they say, not where the environment says."""
    monkeypatch.delenv("FXSIM_NETWORKS", raising=False)


def signed_off(tmp_path: Path, root: Path | str, network: str, more: str = "") -> CheckRecord:
    """The record of the only check of a plan, which finds networks in `root`."""
    path = tmp_path / "plan.toml"
    check = f'[[check]]\nkind = "published-network"\nname = "it"\nnetwork = "{network}"\n{more}'
    path.write_text(f'title = "networks"\nseed = 1\nnetworks = "{root}"\n{check}')
    (found,) = run_plan(load_plan(path), listener=Silence()).checks
    return found


def copied(networks: Path, tmp_path: Path, folder: str, file: str, **changed: Any) -> Path:
    """A copy of networks' folder, arrays of one file changed."""
    root = tmp_path / "networks"
    shutil.copytree(networks / folder, root / folder)
    path = root / folder / file
    with np.load(path) as archive:
        arrays = {name: archive[name] for name in archive.files}
    np.savez(path, **{name: changed.get(name, values) for name, values in arrays.items()})
    return root


@pytest.mark.slow
@pytest.mark.parametrize("network", NETWORKS)
def test_published_networks_pass(networks: Path, network: str, tmp_path: Path) -> None:
    """Each network gives, in both engines, as many values as its files hold, and none differs."""
    found = signed_off(tmp_path, networks, network)
    assert found.status is Status.PASSED, found.reason
    rows = found.details.of(Comparison)
    assert [row.title for row in rows] == [f"{network}, reference", f"{network}, numba"]
    assert all(tap.mismatches == 0 for row in rows for tap in row.taps)
    pictures = 32 * 32 * 3
    counts = {"cnv": 4 * (pictures + 64), "lfc": 2 * 64, "fra": 4 * (32 * pictures + 10 + 1), "dig": 445 * (32 + 10)}
    assert sum(tap.compared for tap in rows[0].taps) == counts[network[:3]]
    assert found.details.figures[-1].value == (2 * 4 * 77 if network == "fracbnn" else 0)


def test_what_values_are_compared_with_is_hashed(networks: Path, tmp_path: Path) -> None:
    """The record has the sha256 of each file of pictures and published values, and another one where a bit changed."""
    plan = tmp_path / "plan.toml"
    check = '[[check]]\nkind = "published-network"\nname = "it"\nnetwork = "lfcW1A1"\nengines = ["reference"]\n'
    plan.write_text(f'title = "networks"\nseed = 1\nnetworks = "{networks}"\n{check}')
    hashes = run_plan(load_plan(plan), listener=Silence()).hashes
    files = ("lfc_images.npz", "lfcW1A1_labels.npz")
    stated = {f"published finn/{name}": sha256((networks / "finn" / name).read_bytes()).hexdigest() for name in files}
    assert hashes == hashes | stated
    with np.load(networks / "finn" / "lfcW1A1_labels.npz") as labels:
        bits = labels["label_bits"] ^ np.uint64(1 << 9)
    root = copied(networks, tmp_path, "finn", "lfcW1A1_labels.npz", label_bits=bits)
    plan.write_text(f'title = "networks"\nseed = 1\nnetworks = "{root}"\n{check}')
    changed = run_plan(load_plan(plan), listener=Silence()).hashes
    assert {name for name in stated if changed[name] != stated[name]} == {"published finn/lfcW1A1_labels.npz"}


def test_another_bit_is_found(networks: Path, tmp_path: Path) -> None:
    """One published bit that is not the network's fails, with its place."""
    with np.load(networks / "finn" / "lfcW1A1_labels.npz") as labels:
        bits = labels["label_bits"].copy()
    bits[1] ^= np.uint64(1 << 9)
    root = copied(networks, tmp_path, "finn", "lfcW1A1_labels.npz", label_bits=bits)
    found = signed_off(tmp_path, root, "lfcW1A1", 'engines = ["reference"]\n')
    assert found.status is Status.FAILED
    assert "image 1, tap threshold3, channel 9" in str(found.reason)


@pytest.mark.slow
def test_another_score_and_another_digest_are_found(networks: Path, tmp_path: Path) -> None:
    """One score that is one more, and one digest of a tap, fail by the name of the tap."""
    with np.load(networks / "finn" / "cnvW1A1_scores.npz") as archive:
        scores = archive["scores"].copy()
    scores[3, 63] += 1
    root = copied(networks, tmp_path, "finn", "cnvW1A1_scores.npz", scores=scores)
    found = signed_off(tmp_path, root, "cnvW1A1", 'engines = ["compiled"]\n')
    assert found.status is Status.FAILED
    assert "image 3, tap conv8, row 0, column 0, channel 63" in str(found.reason)
    shutil.copytree(networks / "fracbnn", root / "fracbnn")
    path = root / "fracbnn" / "tap_digests.json"
    stated = json.loads(path.read_text())
    at = [row[0] for row in stated["taps"][2]].index("msb.7")
    stated["taps"][2][at][2] = "0" * 64
    path.write_text(json.dumps(stated))
    found = signed_off(tmp_path, root, "fracbnn", 'engines = ["compiled"]\n')
    assert found.status is Status.FAILED
    assert found.reason == "fracbnn, numba: picture 2: 1 of 77 digests differ, the first of tap msb.7"


def test_another_value_of_a_neural_ode_is_found(networks: Path, tmp_path: Path) -> None:
    """One value of its pool that is one more, and one score, fail with their places; another type is an error."""
    with np.load(networks / "tiny_ode" / "digits_ode.npz") as archive:
        pool, scores = archive["pool"].copy(), archive["scores"].copy()
    pool[7, 3] ^= 1
    scores[444, 9] += 1
    for name, changed, place in (
        ("pool", {"pool": pool}, "image 7, tap pool, row 0, column 0, channel 3"),
        ("scores", {"scores": scores}, "image 444, tap scores, channel 9"),
    ):
        root = copied(networks, tmp_path / name, "tiny_ode", "digits_ode.npz", **changed)
        found = signed_off(tmp_path, root, "digits-ode", 'engines = ["compiled"]\n')
        assert found.status is Status.FAILED
        assert place in str(found.reason)
    root = copied(networks, tmp_path / "type", "tiny_ode", "digits_ode.npz", scores=scores.astype(np.int64))
    found = signed_off(tmp_path, root, "digits-ode", 'engines = ["reference"]\n')
    assert found.status is Status.ERROR
    assert "array 'scores' is int64 (445, 10), expected int32 (445, 10)" in str(found.reason)


def test_absent_networks_are_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the folder a check is skipped with the reason; one folder of it that is absent is an error."""
    found = signed_off(tmp_path, "nowhere", "fracbnn")
    assert found.status is Status.SKIPPED
    assert "data of other tools' networks absent: there is no folder" in str(found.reason)
    assert "FXSIM_NETWORKS can name one" in str(found.reason)
    (tmp_path / "networks").mkdir()
    found = signed_off(tmp_path, "networks", "fracbnn")
    assert found.status is Status.ERROR
    assert "has no folder 'fracbnn'" in str(found.reason)
    monkeypatch.setenv("FXSIM_NETWORKS", str(tmp_path / "elsewhere"))
    found = signed_off(tmp_path, "networks", "fracbnn")
    assert found.status is Status.ERROR
    assert "FXSIM_NETWORKS names" in str(found.reason)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"label_bits": np.zeros((2, 1), np.uint64)}, "array 'label_bits' is uint64 (2, 1), expected uint64 (any)"),
        ({"label_bits": np.zeros(2, np.int64)}, "array 'label_bits' is int64 (2,), expected uint64 (any)"),
        ({"label_bits": np.zeros(0, np.uint64)}, "has not as many pictures of lfcW1A1 as results, or none"),
        ({"label_bits": np.zeros(5, np.uint64)}, "has not as many pictures of lfcW1A1 as results, or none"),
    ],
)
def test_other_results_are_errors(networks: Path, tmp_path: Path, more: dict[str, Any], message: str) -> None:
    """Results of another type, shape or number are an error of the check, with the array."""
    root = copied(networks, tmp_path, "finn", "lfcW1A1_labels.npz", **more)
    found = signed_off(tmp_path, root, "lfcW1A1", 'engines = ["reference"]\n')
    assert found.status is Status.ERROR
    assert message in str(found.reason)
    assert str(root / "finn") in str(found.reason)


@pytest.mark.parametrize(
    ("network", "more", "message"),
    [
        ("lfcW1A2", "", "names network 'lfcW1A2', expected one of: cnvW1A1"),
        ("fracbnn", 'engines = ["numba", "compiled"]\n', "names an engine twice"),
        ("fracbnn", "engines = []\n", "engines"),
    ],
)
def test_settings_that_make_no_sense_are_refused(tmp_path: Path, network: str, more: str, message: str) -> None:
    """Networks that nothing is published of, and engines named twice or not at all, are refused by name."""
    with pytest.raises(FileError, match=message):
        signed_off(tmp_path, "networks", network, more)
