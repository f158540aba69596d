"""Which code a result depends on: a module of the package, and all of the package it imports.

The imports are read from the source, wherever in a module they stand; what only type checkers
import is left out.
"""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from bana import HOMES
from bana.files.artefacts import content_hash

PACKAGE = Path(__file__).resolve().parents[1]


def source_hash(module: str) -> str:
    """Hash of the code of a module and of every module of the package that it imports, in turn.

    Comments, docstrings and layout do not count.

    Args:
        module: full name, such as ``bana.labels``.

    Raises:
        FileNotFoundError: if the package has no such module.
    """
    return content_hash({name: _code(name) for name in _with_imports({module})})


def code_hash(source: str) -> str:
    """Hash of every module of the package that a piece of Python imports, in turn.

    Docstrings count here, since a notebook may show them.
    """
    imported = set(_imports(ast.parse(source)))
    texts = {name: _path(name).read_text("utf-8") for name in _with_imports(imported)}
    return content_hash(texts)


def _with_imports(modules: set[str]) -> list[str]:
    """Modules with all that they import, by name."""
    found: set[str] = set()
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        # The face of the package has no code of its own, and imports what is asked of it.
        if name not in found and name != "bana":
            found.add(name)
            waiting += _imports_of_module(name)
    return sorted(found)


@cache
def _imports_of_module(module: str) -> tuple[str, ...]:
    return tuple(_imports(ast.parse(_path(module).read_bytes())))


@cache
def _code(module: str) -> str:
    """A module's code as Python would write it, without docstrings."""
    tree = ast.parse(_path(module).read_bytes())
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(
            node
        ):
            node.body[0] = ast.Pass()
    return ast.unparse(tree)


def _imports(tree: ast.AST) -> Iterator[str]:
    """Names of the package's modules that are imported anywhere in a piece of code."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            continue
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.partition(".")[0] == "bana":
                    yield from _whole_face() if alias.name == "bana" else [alias.name]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "bana":
            yield from (_home(node.module, alias.name) for alias in node.names)
        else:
            yield from _imports(node)


def _home(module: str, name: str) -> str:
    """The module that ``from module import name`` reads."""
    if _is_module(f"{module}.{name}"):
        return f"{module}.{name}"
    return f"bana.{HOMES[name]}" if module == "bana" and name in HOMES else module


def _whole_face() -> list[str]:
    return sorted({f"bana.{home}" for home in HOMES.values()})


def _is_module(name: str) -> bool:
    plain = PACKAGE.joinpath(*name.split(".")[1:])
    return plain.with_suffix(".py").is_file() or (plain / "__init__.py").is_file()


def _path(module: str) -> Path:
    plain = PACKAGE.joinpath(*module.split(".")[1:])
    path = plain.with_suffix(".py")
    return path if path.is_file() else plain / "__init__.py"
