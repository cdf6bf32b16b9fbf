"""The files that a Python file can import of this package and of the testbenches, read from their text.

All imports count, those inside functions too, but for those for type checkers alone. So does a text that is the whole
name of a module: registries load by such names. What loads by a computed name, or takes an attribute of this package
itself, can load anything: of that, everything.
"""

import ast
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path

import fxsim

_LOADERS = ("import_module", "__import__", "run_module", "run_path")
_KNOWN_LOADERS = ("fxsim/__init__.py", "fxsim/plugins.py")
"""Files that load by computed names: those of attributes of the package, and those that registries have as texts."""

PACKAGE = Path(fxsim.__file__).resolve().parent


def imported(files: Iterable[Path], roots: Mapping[str, Path]) -> list[Path]:
    """`files`, and all that they import of the packages of `roots` (each by name, with its folder), in order of names.

    With each module comes what lies beside it and is no Python: data that it may read.
    """
    found: set[Path] = set()
    waiting = list(files)
    while waiting:
        path = waiting.pop()
        if path in found:
            continue
        found.add(path)
        names, anything = _names(path, path.stat().st_mtime_ns, _package_of(path, roots))
        if anything and not _is_known(path, roots):
            waiting += [other for root in roots.values() for other in root.rglob("*.py")]
        for name in names:
            waiting += _files_of(name, roots)
    data = {
        other
        for parent in {path.parent for path in found}
        for other in parent.iterdir()
        if other.is_file() and other.suffix not in (".py", ".pyc", ".pyi")
    }
    return sorted(found | data)


def top_names(files: Iterable[Path]) -> list[str]:
    """Full names of modules that some files import when they are imported themselves, in order."""
    found: set[str] = set()
    for path in files:
        for node in ast.parse(path.read_bytes()).body:
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module is not None and not node.level:
                found.add(node.module)
    return sorted(found)


def _is_known(path: Path, roots: Mapping[str, Path]) -> bool:
    root = roots.get("fxsim")
    return root is not None and any(path == root.parent / name for name in _KNOWN_LOADERS)


def _package_of(path: Path, roots: Mapping[str, Path]) -> str:
    """The full name of the package that a file is in."""
    for name, root in roots.items():
        if path.is_relative_to(root):
            return ".".join((name, *path.parent.relative_to(root).parts))
    return ""


def _files_of(name: str, roots: Mapping[str, Path]) -> Iterator[Path]:
    """Every file that is run when a module is imported, or a name from one."""
    first, *rest = name.split(".")
    place = roots.get(first)
    if place is None:
        return
    if (place / "__init__.py").is_file():
        yield place / "__init__.py"
    for part in rest:
        if (place / f"{part}.py").is_file():
            yield place / f"{part}.py"
        place = place / part
        if (place / "__init__.py").is_file():
            yield place / "__init__.py"


@cache
def _names(path: Path, _changed: int, package: str) -> tuple[tuple[str, ...], bool]:
    """Names that a file imports, and whether it may import others, too."""
    found: set[str] = set()
    anything = False
    for node in _walk(ast.parse(path.read_bytes())):
        match node:
            case ast.Import(names=names):
                found |= {alias.name for alias in names}
            case ast.ImportFrom(module=module, names=names, level=level):
                above = package.split(".")[: len(package.split(".")) - level + 1] if level else []
                base = ".".join([*above, *([module] if module else [])])
                found |= {base, *(f"{base}.{alias.name}" for alias in names)}
            case ast.Attribute(value=ast.Name(id="fxsim")):
                anything = True  # which room it comes from is not looked for
            case ast.Constant(value=str(text)) if text.startswith(("fxsim.", "testbenches.")):
                found.add(text)
            case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)) if name in _LOADERS:
                constant = bool(node.args) and isinstance(node.args[0], ast.Constant)
                anything = anything or not constant
    return tuple(sorted(found)), anything


def _walk(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and isinstance(child.test, ast.Name) and child.test.id == "TYPE_CHECKING":
            for other in child.orelse:
                yield other
                yield from _walk(other)
            continue
        yield child
        yield from _walk(child)
