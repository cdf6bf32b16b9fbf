"""Modules with their parameters known: every signal's width, sign and depth, and every instance, by name."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from fxsim.rtl_lint.tree import Evaluator, Known, ModuleTree, UnreadError

_ITERATIONS_MAX = 1 << 12
_SIGNALS_MAX = 1 << 20

_PASSED_OVER = {"Always", "Initial", "Assign", "Function", "Task", "Pragma", "PragmaEntry", "EmptyStatement"}
"""Parts of a module that declare nothing whose width is asked for."""


@dataclass(frozen=True)
class Signal:
    """A port, wire, register or memory. `width`: of a word, in bits; `depth`: words, None where it is no memory."""

    name: str
    file: str
    line: int
    width: int
    signed: bool
    depth: int | None = None


@dataclass
class Instance:
    """A module of known parameters. Names of signals and instances have the generate blocks that they are in."""

    module: str
    file: str
    line: int
    values: dict[str, Known]
    signals: dict[str, Signal] = field(default_factory=dict)
    instances: dict[str, "Instance"] = field(default_factory=dict)


class Elaborator:
    """Elaborates modules by name and parameters, each once."""

    def __init__(self, modules: Mapping[str, ModuleTree]) -> None:
        self._modules = modules
        self._done: dict[tuple[str, tuple[tuple[str, Known], ...]], Instance] = {}
        self._above: list[str] = []
        self._signals = 0

    def elaborate(self, module: str, parameters: Mapping[str, Known], where: tuple[str, int] = ("", 0)) -> Instance:
        """The module with these parameters in place of its own. UnreadError where something in it is not known."""
        if module not in self._modules:
            what = "an illegal parameter" if module.startswith("illegal_parameter_") else "a module that is not there"
            raise UnreadError(*where, f"{what}: {module}")
        key = module, tuple(sorted(parameters.items()))
        if key not in self._done:
            if module in self._above:
                raise UnreadError(*where, f"{module} is made of itself")
            self._above.append(module)
            self._done[key] = self._make(self._modules[module], dict(parameters))
            self._above.pop()
        return self._done[key]

    def _make(self, source: ModuleTree, given: dict[str, Known]) -> Instance:
        tree = source.tree
        made = Instance(tree.name, source.file, tree.lineno, {})
        for declaration in tree.paramlist.params if tree.paramlist is not None else ():
            self._items(made, declaration.list, "", {}, given)
        for port in tree.portlist.ports if tree.portlist is not None else ():
            if type(port).__name__ != "Ioport":
                raise UnreadError(source.file, port.lineno, "has a port without its direction in the header")
            # The first has the direction, and the sign where it is stated; the second whether it is a register.
            self._signal(made, port.first, "", {}, signed=_signed(port.first) or _signed(port.second))
        self._items(made, tree.items, "", {}, given)
        if left := sorted(given.keys() - made.values.keys()):
            raise UnreadError(source.file, tree.lineno, f"module {tree.name} has no parameter '{left[0]}'")
        return made

    def _items(
        self, made: Instance, items: Iterable[Any], scope: str, local: dict[str, Known],
        given: Mapping[str, Known],
    ) -> None:  # fmt: skip
        """Take the items of a module or of a generate block, whose own constants are put into `local`."""
        for item in items or ():
            kind = type(item).__name__
            if kind == "Decl":
                self._items(made, item.list, scope, local, given)
            elif kind in ("Parameter", "Localparam"):
                self._constant(made, item, scope, local, given if kind == "Parameter" and not scope else {})
            elif kind in ("Wire", "Reg", "WireArray", "RegArray", "Tri", "Input", "Output", "Inout"):
                self._signal(made, item, scope, local, signed=_signed(item))
            elif kind == "Integer":
                made.signals[scope + item.name] = Signal(scope + item.name, made.file, item.lineno, 32, signed=True)
            elif kind == "InstanceList":
                self._instances(made, item, scope, local)
            elif kind == "GenerateStatement":
                self._items(made, item.items, scope, local, given)
            elif kind == "Block":
                self._block(made, item, scope, local)
            elif kind == "IfStatement":
                if (chosen := self._chosen(made, item, local)) is not None:
                    self._items(made, [chosen], scope, local, given)
            elif kind == "ForStatement":
                self._loop(made, item, scope, local)
            elif kind != "Genvar" and kind not in _PASSED_OVER:
                raise UnreadError(made.file, item.lineno, f"has {kind}, which is not read here")

    def _evaluator(self, made: Instance, local: Mapping[str, Known]) -> Evaluator:
        return Evaluator(made.file, {**made.values, **local})

    def _constant(
        self,
        made: Instance,
        item: Any,
        scope: str,
        local: dict[str, Known],
        given: Mapping[str, Known],
    ) -> None:
        into = local if scope else made.values
        if item.name in given:
            into[item.name] = given[item.name]
            return
        evaluator = self._evaluator(made, local)
        value = _known(evaluator, item.value)
        if item.width is not None and isinstance(value, int):
            width = _width(evaluator, item.width)
            value &= (1 << width) - 1
            if item.signed and value >> width - 1:
                value -= 1 << width
        into[item.name] = value

    def _signal(self, made: Instance, item: Any, scope: str, local: Mapping[str, Known], signed: bool) -> None:
        evaluator = self._evaluator(made, local)
        width = 1 if item.width is None else _width(evaluator, item.width)
        length = getattr(item, "length", None) or getattr(item, "dimensions", None)
        depth = None
        if length is not None:
            pairs = getattr(length, "lengths", None) or [length]
            if len(pairs) != 1:
                raise UnreadError(made.file, item.lineno, f"{item.name} has several dimensions")
            depth = abs(evaluator.number(pairs[0].msb) - evaluator.number(pairs[0].lsb)) + 1
        self._signals += 1
        if self._signals > _SIGNALS_MAX:
            raise UnreadError(made.file, item.lineno, f"the design has more than {_SIGNALS_MAX:,} signals")
        name = scope + item.name
        made.signals[name] = Signal(name, made.file, item.lineno, width, signed, depth)

    def _instances(self, made: Instance, item: Any, scope: str, local: Mapping[str, Known]) -> None:
        evaluator = self._evaluator(made, local)
        for instance in item.instances:
            if instance.array is not None:
                raise UnreadError(made.file, instance.lineno, f"{instance.name} is an array of instances")
            parameters: dict[str, Known] = {}
            for parameter in instance.parameterlist:
                if parameter.paramname is None:
                    raise UnreadError(made.file, instance.lineno, f"{instance.name} has parameters without names")
                parameters[parameter.paramname] = _known(evaluator, parameter.argname)
            where = made.file, instance.lineno
            made.instances[scope + instance.name] = self.elaborate(item.module, parameters, where)

    def _block(self, made: Instance, item: Any, scope: str, local: Mapping[str, Known]) -> None:
        inner = f"{scope}{item.scope}." if item.scope else scope
        # A block without a name is one all the same: its constants are its own.
        self._items(made, item.statements, inner or "genblk.", dict(local), {})

    def _chosen(self, made: Instance, item: Any, local: Mapping[str, Known]) -> Any:
        holds = self._evaluator(made, local).number(item.cond)
        return item.true_statement if holds else item.false_statement

    def _loop(self, made: Instance, item: Any, scope: str, local: Mapping[str, Known]) -> None:
        name = item.pre.left.var.name
        value = self._evaluator(made, local).number(item.pre.right)
        block = item.statement
        named = getattr(block, "scope", None) or "genblk"
        for _ in range(_ITERATIONS_MAX):
            own = {**local, name: value}
            evaluator = self._evaluator(made, own)
            if not evaluator.number(item.cond):
                return
            self._items(made, block.statements, f"{scope}{named}[{value}].", own, {})
            value = evaluator.number(item.post.right)
        raise UnreadError(made.file, item.lineno, f"repeats more than {_ITERATIONS_MAX:,} times")


def _known(evaluator: Evaluator, node: Any) -> Known:
    """The value of an expression, or what of it is not known: it matters only where a width depends on it."""
    try:
        return evaluator.value(node)
    except UnreadError as error:
        return error


def _signed(item: Any) -> bool:
    return bool(getattr(item, "signed", False))


def _width(evaluator: Evaluator, width: Any) -> int:
    return abs(evaluator.number(width.msb) - evaluator.number(width.lsb)) + 1


def walk(top: Instance, path: str = "") -> Iterator[tuple[str, Instance]]:
    """Every instance below one and itself, with its path."""
    yield path, top
    for name, instance in top.instances.items():
        yield from walk(instance, f"{path}.{name}" if path else name)
