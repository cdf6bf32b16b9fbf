"""Devices: a toy one from another package goes everywhere, broken ones are named, and nobody asks which one it is."""

import ast
import json
import re
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

import numpy as np
import pytest
from click.testing import CliRunner

import fxsim
from fxsim import plugins
from fxsim.cli.cosim import command, device_options
from fxsim.cosim import cosim
from fxsim.cosim.replay import keep, replay_command
from fxsim.devices import DEVICES, Device, Figures, Setting, Settings, make_settings, option_words, options_of, registry
from fxsim.devices.stream.device import FittedStream
from fxsim.devices.stream.settings import StreamSettings
from fxsim.errors import FileError, FxsimError, StimulusError
from fxsim.formats import save
from fxsim.graph import Model
from fxsim.signoff import Status, load_plan, run_plan
from fxsim.signoff import simulation as signoff_simulation
from fxsim.signoff.simulation import Simulation
from fxsim.simulate import Stall, messages
from tests.test_cosim import FAST_BUILD, MODEL, X
from tests.test_signoff import write_plan
from tests.test_signoff_simd import PLAN

pytestmark = pytest.mark.verilator

# --- a toy from another package ---------------------------------------------------------------------------------------


class ToySettings(Settings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A made-up setting of each type."""

    pause: Annotated[int, Setting("--pause", "idle cycles after each image", unit="cycles", least=0, most=1000)] = 5
    label: Annotated[str | None, Setting("--label", "any text", shown="none")] = None
    loud: Annotated[bool, Setting("--loud", "says so")] = False


class ToyFigures(Figures, frozen=True, kw_only=True):
    """The pauses that it made."""

    pauses: int

    def lines(self) -> tuple[str, ...]:
        """One line."""
        return (f"{self.pauses} cycles of pause",)


class FittedToy(FittedStream):
    """The streaming accelerator under another name, fed with pauses."""

    def __init__(self, model: Model, settings: ToySettings) -> None:
        super().__init__(model, StreamSettings())
        self.settings = settings

    def pinned(self, images: int) -> ToySettings:  # noqa: ARG002  # nothing is left open
        """As they are."""
        return self.settings

    def arguments(self, layout: Any, images: int, stall: Stall) -> dict[str, str]:
        """With the pauses."""
        return super().arguments(layout, images, stall) | {"gap": str(stall.gap + self.settings.pause)}

    def figures(self, found: messages.Found, images: int) -> ToyFigures:  # noqa: ARG002  # known without
        """All pauses."""
        return ToyFigures(pauses=self.settings.pause * images)


TOY = Device(
    name="toy", title="toy", about="made up", fit=FittedToy, settings=ToySettings, figures=ToyFigures,
    stalls=frozenset({"random", "gap"}),
)  # fmt: skip


def other_packages(monkeypatch: pytest.MonkeyPatch, **devices: object) -> None:
    """Have other packages add these, by name; an exception is raised when its package is imported."""
    module = ModuleType("toy_package")
    for name, device in devices.items():
        if not isinstance(device, Exception):
            setattr(module, name, device)
    monkeypatch.setitem(sys.modules, "toy_package", module)
    entries = [EntryPoint(name, f"toy_package:{name}", registry.GROUP) for name in devices]
    monkeypatch.setattr(plugins, "entry_points", lambda group: entries if group == "fxsim.devices" else [])
    monkeypatch.setattr(DEVICES, "_loaded", {})


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another package adds the toy."""
    other_packages(monkeypatch, toy=TOY)


@pytest.mark.usefixtures("toy")
def test_toy_runs_with_its_settings_and_figures(tmp_path: Path) -> None:
    """A third device is simulated, its setting acts, its figures stand in the result, its replay has its options."""
    plain, paused = (cosim(MODEL, X, accel="toy", pause=pause) for pause in (0, 40))
    for result in (plain, paused):
        assert result.passed
        sizes = [int(np.prod(MODEL.graph.shapes[tap])) for tap in (*MODEL.graph.taps, MODEL.graph.output)]
        assert result.streams.compared == len(X) * sum(sizes)
    assert plain.timing.interval_cycles == 24
    # At least the beats of an image and the pause.
    assert paused.timing.interval_cycles >= 16 + 40
    flat = paused.flat()
    assert flat["toy"] == ToyFigures(pauses=40 * len(X))
    assert (flat["accel"], flat["simd"]) == ("toy", None)
    assert flat["settings"] == {"pause": 40, "label": None, "loud": False}
    words = replay_command(paused, Path("m"), Path("x")).split()
    assert words[words.index("--accel") + 1] == "toy"
    assert words[words.index("--pause") + 1] == "40"
    keep(tmp_path / "kept", paused, MODEL, X)
    assert "--accel toy" in (tmp_path / "kept" / "replay.sh").read_text()
    assert json.loads((tmp_path / "kept" / "result.json").read_bytes())["toy"] == {"pauses": 40 * len(X)}
    assert (tmp_path / "kept" / "rom" / "embed_w.hex").is_file()


@pytest.mark.usefixtures("toy")
def test_toy_is_in_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command lists the toy and its options with help, defaults and units, and takes them."""
    monkeypatch.chdir(tmp_path)
    save(MODEL, Path("m.safetensors"))
    np.save("x.npy", X)
    help_text = CliRunner().invoke(command, ["--help"]).output
    assert "toy: idle cycles after each image. [5]" in " ".join(help_text.split())
    for part in ("--pause CYCLES", "--label", "--loud", "made up", "--latency"):
        assert part in help_text
    files = ["m.safetensors", "x.npy", "--accel", "toy", "--images", ":4"]
    done = CliRunner().invoke(command, [*files, "--pause", "7", "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["toy"] == {"pauses": 28}
    printed = CliRunner().invoke(command, files)
    assert "20 cycles of pause" in printed.stdout
    for option, value in (("--pause", "1001"), ("--batch", "2")):
        refused = CliRunner().invoke(command, [*files, option, value])
        assert isinstance(refused.exception, StimulusError)
        assert ("expected 0 to 1000" in str(refused.exception)) == (option == "--pause")
    without = CliRunner().invoke(command, ["m.safetensors", "x.npy", "--pause", "7"])
    assert (without.exit_code, "No such option" in without.output) == (2, True)
    stalled = CliRunner().invoke(command, [*files, "--stall", "reset:1"])
    assert "the accelerator 'toy' takes no 'reset', expected some of: gap, random" in str(stalled.exception)


CHECK = """[[check]]
kind = "cosim"
name = "toy"
model = "tiny"
stimulus = "uniform"
images = 2
accelerator = ["stream", "toy"]
settings = { pause = 40 }
"""


@pytest.mark.icarus
@pytest.mark.usefixtures("toy")
def test_toy_is_signed_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plan names the toy and its setting; the record has both; a setting that nobody has is refused."""
    monkeypatch.setattr(signoff_simulation, "_QUICK", FAST_BUILD)
    (check,) = run_plan(load_plan(write_plan(tmp_path, CHECK, head=PLAN))).checks
    assert check.status is Status.PASSED, check.reason
    rows = [row for row in check.details.data if isinstance(row, Simulation)]
    assert [(row.accelerator, row.settings) for row in rows] == [
        ("stream", {}), ("toy", {"pause": 40, "label": None, "loud": False}),
    ]  # fmt: skip
    assert check.summary.startswith("three ways (integer model, streaming RTL, toy RTL): ")
    for change, message in (
        ("pause = -1", "pause is -1 cycles, expected 0 to 1000"),
        ("paws = 4", "sets paws, which no accelerator has that it simulates"),
        ('pause = "4"', "pause is '4', expected a whole number"),
    ):
        with pytest.raises(FileError, match=message):
            load_plan(write_plan(tmp_path, CHECK.replace("pause = 40", change), head=PLAN))
    with pytest.raises(
        FileError, match=r"names accelerator 'gpu', expected of: stream, simd, composed, described, toy"
    ):
        load_plan(write_plan(tmp_path, CHECK.replace('"toy"]', '"gpu"]'), head=PLAN))


# --- devices that are not usable --------------------------------------------------------------------------------------


def nothing() -> None:
    """A function that was to return a device."""


@pytest.mark.parametrize(
    ("device", "message"),
    [
        (ImportError("no torch"), r"the accelerator 'odd' \(toy_package:odd\) cannot be loaded: AttributeError: "),
        (TOY, "cannot be loaded: it calls itself 'toy'"),
        ("no device", "cannot be loaded: it is a str, expected a fxsim.devices.Device"),
        (nothing, "cannot be loaded: it is a NoneType, expected"),
    ],
)
def test_broken_device_is_one_line_and_disturbs_no_other(
    device: object, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A device that cannot be loaded is named where it is asked for; help says so too, and all others work."""
    other_packages(monkeypatch, odd=device, toy=lambda: TOY)
    with pytest.raises(FxsimError, match=message) as caught:
        cosim(MODEL, X, accel="odd")
    assert "\n" not in str(caught.value)
    listed = CliRunner().invoke(command, ["--help"])
    assert listed.exit_code == 0, listed.output
    assert "not usable: the accelerator 'odd'" in " ".join(listed.output.split())
    assert "--pause" in listed.output
    assert DEVICES["toy"] is TOY
    assert list(DEVICES) == ["stream", "simd", "composed", "described", "odd", "toy"]


def test_others_are_loaded_only_when_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Simulating the project's own device imports no other package's."""
    calls: list[str] = []
    other_packages(monkeypatch, toy=lambda: calls.append("loaded") or TOY)
    assert cosim(MODEL, X, images=(0, 1), optimise=FAST_BUILD).passed
    assert calls == []
    assert DEVICES["toy"] is DEVICES["toy"] is TOY
    assert calls == ["loaded"]


def test_options_that_clash_are_refused() -> None:
    """An option that is another thing elsewhere is refused with the device's name; the same thing is one option."""

    class Clashing(Settings, frozen=True, kw_only=True):
        batch: Annotated[str, Setting("--batch", "another thing")] = "x"

    def device(settings: type[Settings]) -> Device:
        return Device(name="other", title="other", about="", fit=FittedStream, settings=settings)

    with pytest.raises(FxsimError, match="the accelerator 'other' has an option --batch for 'batch', which is taken"):
        device_options({"simd": DEVICES["simd"], "other": device(Clashing)}, set())
    with pytest.raises(FxsimError, match="'other' has an option --pause for 'pause', which is taken"):
        device_options({"other": device(ToySettings)}, {"--pause"})
    both = device_options({"toy": device(ToySettings), "other": device(ToySettings)}, set())
    assert [option.opts[0] for option in both] == ["--pause", "--label", "--loud"]
    assert (both[0].help or "").startswith("toy, other: ")


# --- settings ---------------------------------------------------------------------------------------------------------


def test_options_say_all_of_a_setting() -> None:
    """Name, type and default of each field, and the words of the command line that give a value."""
    found = [(option.field, option.type, option.default) for option in options_of(ToySettings)]
    assert found == [("pause", int, 5), ("label", str, None), ("loud", bool, False)]
    assert options_of(Settings) == ()
    assert option_words(ToySettings(pause=3, label="a b", loud=True)) == ["--pause", "3", "--label", "a b", "--loud"]
    assert option_words(ToySettings()) == ["--pause", "5"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"pause": 1001}, "pause is 1001 cycles, expected 0 to 1000"),
        ({"pause": -1}, "pause is -1 cycles, expected 0 to 1000"),
        ({"pause": 2.0}, "pause is 2.0, expected a whole number"),
        ({"pause": True}, "pause is True, expected a whole number"),
        ({"label": 3}, "label is 3, expected a text"),
        ({"loud": "yes"}, "loud is 'yes', expected true or false"),
        ({"nope": 1}, "the accelerator 'toy' has no setting 'nope'; it has: pause, label, loud"),
    ],
)
def test_illegal_settings_are_named(values: dict[str, object], message: str) -> None:
    """Each setting of the wrong type, beyond its limits or unknown is one error; None is the default."""
    assert make_settings("toy", ToySettings, {"pause": None, "loud": None}) == ToySettings()
    with pytest.raises(StimulusError, match=message):
        make_settings("toy", ToySettings, values)


# --- nobody asks which one it is --------------------------------------------------------------------------------------

EXCEPTIONS = {
    "cli/memory_image.py": "the command that writes the SIMD accelerator's memory image: its subject",
    "cli/import_model.py": "how the matrices of the published designs' headers lie",
    "cli/program.py": "the line of help of that command",
    "prove/schedule_simd.py": "properties of the SIMD accelerator's modules under all schedules: its subject",
    "prove/schedule_simd_job.py": "the same, of what carries its jobs out",
    "prove/schedules.py": "the table of modules with such properties, by device",
    "signoff/checks/cycles.py": "a kind of check that measures the SIMD accelerator's jobs and layers: its subject",
    "vectors/derive.py": "vectors keep values in the order of the streaming accelerator's streams, as users have them",
}
"""Modules outside devices/ that may name a device, and why."""

WORDS = {"cli/cosim.py": ["'stream'"], "golden/manifest.py": ["'code_coverage_simd.toml'"]}
"""Texts that are no device's name: the title of a column of streams, and a file of waivers."""

NAMES = {"stream", "simd"}


def named(tree: ast.Module) -> list[str]:
    """Every place where a module names one of the project's own devices, or imports from its folder."""
    docs = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    }
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
            # A stream is a thing of its own, too; a text that is nothing else is a name.
            words = set(re.findall(r"[a-z0-9]+", node.value.lower()))
            found += [repr(node.value)] if "simd" in words or node.value.strip().lower() == "stream" else []
        elif isinstance(node, ast.ImportFrom):
            parts = set(f"{node.module}.{'.'.join(alias.name for alias in node.names)}".split("."))
            found += [f"import {node.module}"] if "devices" in parts and parts & NAMES else []
        elif isinstance(node, ast.Attribute | ast.Name):
            name = node.attr if isinstance(node, ast.Attribute) else node.id
            asks = name == "simd" or name.startswith(("Simd", "FittedS"))
            found += [name] if asks else []
    return found


def test_no_room_asks_which_device_it_is() -> None:
    """Outside devices/ no module names a device of the project's own, but for those whose subject it is."""
    package = Path(fxsim.__file__).parent
    wrong = {}
    for path in sorted(package.rglob("*.py")):
        name = path.relative_to(package).as_posix()
        if not name.startswith("devices/") and (found := named(ast.parse(path.read_text(encoding="utf-8")))):
            wrong[name] = found if found != WORDS.get(name) else []
    assert {name: found for name, found in wrong.items() if found and name not in EXCEPTIONS} == {}
    assert set(EXCEPTIONS) <= set(wrong), "an exception that is needed no more"


@pytest.mark.parametrize(
    "text",
    [
        'x = accel == "simd"', "result.simd", 'x = f"the {1} SIMD is"', 'x = {"stream": 1}',
        "from fxsim.devices.simd import LANES", "from fxsim.devices import stream", "isinstance(x, SimdFigures)",
    ],
)  # fmt: skip
def test_questions_are_found(text: str) -> None:
    """The search finds each way of asking."""
    assert named(ast.parse(text)) != []
