"""Entry points of other packages: what is not what it should be is one line, in every group alike."""

import sys
from importlib.metadata import EntryPoint
from types import ModuleType

import pytest

from fxsim import plugins
from fxsim.errors import FxsimError
from fxsim.plugins import find_plugins, load_plugin

GROUP = "fxsim.toys"


def points(monkeypatch: pytest.MonkeyPatch, *named: tuple[str, str]) -> None:
    """Packages that have these entry points, each a name and the name of an object."""
    found = [EntryPoint(name, f"toy_package:{value}", GROUP) for name, value in named]
    monkeypatch.setattr(plugins, "entry_points", lambda group: found if group == GROUP else [])


def test_two_of_one_name_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither is passed over; one that is seen twice is one."""
    points(monkeypatch, ("b", "x"), ("a", "y"), ("a", "y"))
    assert list(find_plugins(GROUP)) == ["a", "b"]
    points(monkeypatch, ("a", "x"), ("a", "y"))
    with pytest.raises(
        FxsimError, match=r"two entry points of fxsim\.toys are called 'a': toy_package:x and toy_package:y"
    ):
        find_plugins(GROUP)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (3, "it is a int, expected a builtins.str"),
        (lambda: 3, "it is a int, expected a builtins.str"),
        (lambda: 1 // 0, "ZeroDivisionError: integer"),
        ("long", "ValueError: too long"),
    ],
)
def test_what_is_something_else_is_named(monkeypatch: pytest.MonkeyPatch, value: object, words: str) -> None:
    """Wrong objects, functions that give them or fail, and what a check refuses."""

    def check(text: str) -> None:
        if len(text) > 3:
            raise ValueError("too\nlong")

    module = ModuleType("toy_package")
    module.x, module.good = value, lambda: "yes"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "toy_package", module)
    points(monkeypatch, ("a", "x"), ("b", "good"))
    found = find_plugins(GROUP)
    assert load_plugin("toy", found["b"], str, check) == "yes"
    with pytest.raises(FxsimError, match=rf"the toy 'a' \(toy_package:x\) cannot be loaded: {words}"):
        load_plugin("toy", found["a"], str, check)
