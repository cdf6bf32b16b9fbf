"""Settings of a device: what can be chosen, each with a help text and limits, from which options are made."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import msgspec

from fxsim.errors import StimulusError


@dataclass(frozen=True)
class Setting:
    """The description of a setting, beside its type and default; it annotates the field.

    `option`: as on the command line, `--NAME`. `help`: a few words. `words`: the setting in sentences, `unit`: of what
    it counts, `file`: whether it names a file, `design`: whether it says what the design is, and not how it is run.
    `least`, `most`: limits of a number. `shown`: the default in words, where it is None.
    """

    option: str
    help: str
    words: str = ""
    unit: str = ""
    least: int | None = None
    most: int | None = None
    shown: str = ""
    file: bool = False
    design: bool = False


@dataclass(frozen=True)
class Option:
    """A field of a device's settings: its name there, its type (bool, int or str), default, and what is said of it."""

    field: str
    type: type
    default: object
    setting: Setting


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A device's settings; by itself those of a device that has none.

    Each field is bool, int or str, or one of them or None, has a default, and is annotated with a `Setting`.
    StimulusError where a value is of another type or beyond its limits.
    """

    def __post_init__(self) -> None:
        """Refuse what no field may hold."""
        for option in options_of(type(self)):
            _check(option, getattr(self, option.field))


@cache
def options_of(settings: type[Settings]) -> tuple[Option, ...]:
    """Every field of a type of settings, in order."""
    hints = get_type_hints(settings, include_extras=True)
    found = []
    for field in msgspec.structs.fields(settings):
        annotated = get_args(hints[field.name])
        setting = next((part for part in annotated if isinstance(part, Setting)), None)
        assert setting is not None, f"{settings.__name__}.{field.name} says nothing of itself: annotate it"
        plain = annotated[0]
        union = get_args(plain) if get_origin(plain) in (Union, UnionType) else (plain,)
        (type_,) = (part for part in union if part is not NoneType)
        assert type_ in (bool, int, str)
        assert field.default is not msgspec.NODEFAULT
        found.append(Option(field.name, type_, field.default, setting))
    return tuple(found)


def make_settings(device: str, settings: type[Settings], values: Mapping[str, object]) -> Settings:
    """Settings from some of their fields by name; None leaves one at its default. StimulusError names the device."""
    known = [option.field for option in options_of(settings)]
    given = {name: value for name, value in values.items() if value is not None}
    for name in given:
        if name not in known:
            has = f"it has: {', '.join(known)}" if known else "it has none"
            raise StimulusError(f"the accelerator '{device}' has no setting '{name}'; {has}")
    return settings(**given)


def option_words(settings: Settings) -> list[str]:
    """The words of a command line that give these settings; none of a design that is as it is by default."""
    words = []
    for option in options_of(type(settings)):
        value: Any = getattr(settings, option.field)
        if option.setting.design and value == option.default:
            continue
        if option.type is bool:
            words += [option.setting.option] if value else []
        elif value is not None:
            words += [option.setting.option, str(value)]
    return words


def _check(option: Option, value: object) -> None:
    setting = option.setting
    words = setting.words or option.field.replace("_", " ")
    if value is None and option.default is None:
        return
    # A bool is an int, but no number.
    if type(value) is not option.type:
        kind = {bool: "true or false", int: "a whole number", str: "a text"}[option.type]
        raise StimulusError(f"{words} is {value!r}, expected {kind}")
    if isinstance(value, int) and not isinstance(value, bool):
        least, most = setting.least, setting.most
        if (least is not None and value < least) or (most is not None and value > most):
            unit = f" {setting.unit}" if setting.unit else ""
            limits = f"at least {least}" if most is None else f"{least} to {most}"
            raise StimulusError(f"{words} is {value}{unit}, expected {limits}")
