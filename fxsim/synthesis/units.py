"""Parts of a design that are synthesised in one go: what a flat synthesis would see together, and what is repeated."""

from collections.abc import Iterator
from dataclasses import dataclass

from fxsim.synthesis.rtlil import Design, part_text

WHOLE_BITS = 2000
"""A module of no more bits than this (`Module.size`), with all below it, is synthesised in one go."""

OWN_SHARE = 10
"""A larger one, too, if a tenth of its bits at least are its own: what it holds is then entwined with it."""

PATHS_MAX = 8


@dataclass(frozen=True)
class Part:
    """A unit before it is synthesised; see `record.Unit`. `text`: of it alone; `boxes`: the units that it holds."""

    module: str
    text: str
    instances: int
    paths: tuple[str, ...]
    holds: tuple[str, ...]
    rest: bool
    boxes: frozenset[str]


def split_design(design: Design, *, flat: bool = False) -> tuple[Part, ...]:
    """The units of a design, each once, in the order in which the design comes to them; `flat`: all of it is one."""
    split = set() if flat else {name for name in design.modules if _is_split(design, name)}
    counts: dict[str, int] = {}
    paths: dict[str, list[str]] = {}
    for name, path in _instances(design, split):
        counts[name] = counts.get(name, 0) + 1
        if len(places := paths.setdefault(name, [])) < PATHS_MAX:
            places.append(path)
    parts = []
    for name, count in counts.items():
        children = frozenset(child.module for child in design.modules[name].children)
        boxes = children if name in split else frozenset[str]()
        if name in split and not design.modules[name].size:
            # Wires take nothing.
            continue
        held = () if name in split else tuple(design.below(name))[1:]
        holds = tuple(dict.fromkeys(design.modules[below].source for below in held))
        text = part_text(design, name, boxes)
        parts.append(Part(design.modules[name].source, text, count, tuple(paths[name]), holds, name in split, boxes))
    return tuple(parts)


def _is_split(design: Design, name: str) -> bool:
    module, whole = design.modules[name], design.sizes[name]
    return bool(module.children) and whole > WHOLE_BITS and OWN_SHARE * module.size < whole


def _instances(design: Design, split: set[str]) -> Iterator[tuple[str, str]]:
    """Every instance of a unit: the module as the design calls it, and its hierarchical name."""
    left = [(design.top, "")]
    while left:
        name, path = left.pop(0)
        yield name, path or design.modules[name].source
        if name in split:
            prefix = f"{path}." if path else ""
            left += [(child.module, prefix + child.name) for child in design.modules[name].children]
