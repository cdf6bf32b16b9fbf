"""Designs as Yosys writes them (RTLIL): their modules, what is in each, and the text of a part alone."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from fxsim.errors import FileError

BYTES_MAX = 1 << 30
"""Longest text of a design."""

_NAME = re.compile(r'"(?:\\.|[^"\\])*"|[\\$][^\s]+')
_PARAMETER = re.compile(r"\s+parameter (?:signed |real )?\\(\w+) (-?\d+|\d+'[01xz-]+)\s*$")
_CONTENTS = re.compile(r"connect \\DATA \d")
"""A memory's contents: a constant of many digits."""
_MEMORY = re.compile(r"\s+memory (.*)")
_BOX = re.compile(r"attribute \\(?:black|white)box ")


@dataclass(frozen=True)
class Child:
    """An instance of another module of the design."""

    module: str
    name: str


@dataclass
class Module:
    """A module of a design, of known parameters. `size`: bits that its own cells give, memories by their bits.

    A multiplier's bits count as many times as an operand has. `box`: nothing but its ports is known.
    """

    name: str
    lines: list[str]
    size: int = 0
    children: list[Child] = field(default_factory=list)
    box: bool = False

    @property
    def source(self) -> str:
        """The module's name in the Verilog, without parameters."""
        return source_name(self.name)


@dataclass(frozen=True)
class Design:
    """The modules of a design by name; `top` is one of them."""

    top: str
    modules: Mapping[str, Module]

    @cached_property
    def sizes(self) -> dict[str, int]:
        """Bits of every module with all below it."""
        sizes: dict[str, int] = {}

        def size(name: str) -> int:
            if name not in sizes:
                module = self.modules[name]
                sizes[name] = module.size + sum(size(child.module) for child in module.children)
            return sizes[name]

        for name in self.modules:
            size(name)
        return sizes

    def below(self, name: str) -> dict[str, None]:
        """A module and all that it is made of, each once, it first."""
        found = {name: None}
        for child in self.modules[name].children:
            if child.module not in found:
                found |= self.below(child.module)
        return found


def source_name(name: str) -> str:
    """A module's name in the Verilog: Yosys puts parameters, or their hash, beside it."""
    if not name.startswith("$paramod"):
        return name.removeprefix("\\")
    return name.split("\\")[1]


def read_design(text: str, top: str) -> Design:
    """The modules of a design that Yosys wrote. FileError where the text has another form, or a black box is used."""
    modules: dict[str, Module] = {}
    module: Module | None = None
    kept: list[str] = []
    cell: list[str] | None = None
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split(None, 2)
        if line.startswith("module "):
            module = modules[words[1]] = Module(words[1], kept)
            module.box = any(_BOX.match(said) for said in kept)
        if line.startswith(("attribute", "module ")) or (module is not None and not line.startswith("#")):
            kept.append(line)
        if module is None:
            continue
        if line == "end":
            module, kept = None, []
        elif line.startswith("  cell "):
            cell = [words[1], words[2]]
            module.children.append(Child(words[1], words[2].removeprefix("\\")))
            width = 0
        elif cell is not None and (match := _PARAMETER.match(line)) and match[1] in ("Y_WIDTH", "WIDTH"):
            width = max(width, _number(match[2]))
        elif line == "  end" and cell is not None:
            module.size += width * (16 if cell[0] == "$mul" else 1)
            cell = None
        elif match := _MEMORY.match(line):
            module.size += _memory_bits(match[1]) // 32
        elif line.startswith(("  process", "  case")):
            raise FileError(f"line {number} of the design has a process, expected cells alone")
    name = f"\\{top}"
    if name not in modules:
        raise FileError(f"the design has no module '{top}'")
    for module in modules.values():
        # A cell of Yosys' own is no module.
        module.children = [child for child in module.children if child.module in modules]
    for used in (name, *(child.module for module in modules.values() for child in module.children)):
        if modules[used].box:
            raise FileError(f"module '{modules[used].source}' is a black box: what is in it is not known")
    return Design(name, modules)


def _number(text: str) -> int:
    width, quote, bits = text.partition("'")
    return int(bits.replace("x", "0").replace("z", "0").replace("-", "0"), 2) if quote else int(width)


def _memory_bits(words: str) -> int:
    said = words.split()
    pairs = dict(zip(said[:-1:2], said[1:-1:2], strict=False))
    return int(pairs.get("width", "1")) * int(pairs.get("size", "1"))


def part_text(design: Design, unit: str, cut: frozenset[str]) -> str:
    """The text of a module with all below it, but for the modules in `cut`, of which the ports alone are left.

    Where lines of Verilog lie is left out, and names that Yosys made are numbered as they come: the same part of two
    designs has the same text, whatever else is in them. The part's own module is called `unit`.
    """
    names: dict[str, str] = {unit: "\\unit"}
    # A module has the names of its own; those of modules are the design's.
    for module in design.below(unit):
        if module not in names:
            names[module] = f"\\{source_name(module)}${len(names)}" if module not in cut else module
    lines: list[str] = []
    for module in _wanted(design, unit, cut):
        local = dict(names)
        found = design.modules[module].lines
        lines += _renamed(_shell(found) if module in cut and module != unit else found, local)
    return "\n".join(lines) + "\n"


def _wanted(design: Design, unit: str, cut: frozenset[str]) -> Iterator[str]:
    done: set[str] = set()
    left = [unit]
    while left:
        name = left.pop(0)
        if name in done:
            continue
        done.add(name)
        yield name
        if name == unit or name not in cut:
            left += [child.module for child in design.modules[name].children]


def _renamed(lines: list[str], names: dict[str, str]) -> Iterator[str]:
    def change(match: re.Match[str]) -> str:
        name = match[0]
        if name.startswith('"') or (name.startswith("\\") and name not in names):
            return name
        if name not in names:
            # A cell of Yosys' own library keeps its name.
            if "$" not in name[1:]:
                return name
            names[name] = f"$n${len(names)}"
        return names[name]

    for line in lines:
        words = line.lstrip()
        if words.startswith(("attribute \\src ", "attribute \\hdlname ", "attribute \\top ")):
            continue
        if _CONTENTS.match(words):
            yield line
        else:
            yield _NAME.sub(change, line)


def _shell(lines: list[str]) -> list[str]:
    """A module's ports alone, as those of a black box."""
    ports = re.compile(r"  wire (?:.* )?(?:input|output|inout) \d+ ")
    head = [line for line in lines if line.startswith("module ")]
    return ["attribute \\blackbox 1", *head, *(line for line in lines if ports.match(line)), "end"]
