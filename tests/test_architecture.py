"""The direction of imports: every module imports only from modules above it."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

import authpi_errors

PACKAGE = "authpi_errors"
FOLDER = Path(authpi_errors.__file__).parent
SOURCES = {
    ".".join(path.relative_to(FOLDER).with_suffix("").parts): path.read_text("utf-8")
    for path in sorted(FOLDER.rglob("*.py"))
}

# From what depends on nothing to what depends on everything: no module imports from one below.
ORDER = (
    "codes",
    "_headers",
    "_challenges",
    "_exceptions",
    "_validation",
    "_configuration",
    "_http_exceptions",
    "_registry",
    "_content_type",
    "_settled",
    "_raised",
    "_rendering",
    "_template",
    "_messages",
    "_layers",
    "_routing",
    "_reference",
    "_storms",
    "_reported",
    "_reporting",
    "_templates",
    "_foreign",
    "_options",
    "_responding",
    "_cors",
    "_defaults",
    "_handlers",
    "_mounted",
    "_place",
    "_sending",
    "_boundary",
    "_middleware",
    "_components",
    "_amending",
    "openapi",
    "_install",
    "conditional",
    "fastapi",
    "_received",
    "compliance",
    "testing",
    "_masking",
    "_probing",
    "_service",
    "_checking",
    "_printing",
    "_cli",
    "__main__",
    "__init__",
)

# What `pip install authpi-errors` brings.
DEPENDENCIES = frozenset({"anyio", "orjson", "starlette"})

# The modules that may import it, wherever the import stands.
OWNERS = {"fastapi": {"fastapi"}, "orjson": {"_rendering", "_template"}}

# Extras that a module can't do without: who imports the module has them.
EXTRAS = {
    "_cli": {"click", "rich"},
    "_printing": {"rich"},
    "_service": {"httpx2"},
    "fastapi": {"fastapi"},
    "testing": {"pytest"},
}


def imports(nodes: Iterable[ast.AST]) -> Iterator[str]:
    """Give the absolute name of everything imported: `a.b.c` for `from a.b import c` too."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            # The package is flat: however many dots lead out of a module, they lead to it.
            base = ".".join(filter(None, (PACKAGE if node.level else "", node.module)))
            yield from (f"{base}.{alias.name}" for alias in node.names)


def own_modules(source: str) -> set[str]:
    """Give the modules of the package that a source imports; `__init__` for the package itself."""
    names = (name.split(".") for name in imports(ast.walk(ast.parse(source))))
    own = (name[1:2] for name in names if name[0] == PACKAGE)
    return {part[0] if part and part[0] in ORDER else "__init__" for part in own}


def third_parties(nodes: Iterable[ast.AST]) -> set[str]:
    """Give the packages that are neither this one nor the standard library's."""
    return {name.split(".")[0] for name in imports(nodes)} - {PACKAGE} - sys.stdlib_module_names


def walk_at_import(node: ast.AST) -> Iterator[ast.AST]:
    """Walk the nodes that run when the module is imported."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return
    yield node
    if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
        node = ast.Module(node.orelse, [])
    for child in ast.iter_child_nodes(node):
        yield from walk_at_import(child)


def imports_from_below(module: str, source: str) -> set[str]:
    """Give the modules that `module` must not import: itself and those below it.

    An import inside a function counts as well. With no import from below there is no cycle.
    """
    return own_modules(source) - set(ORDER[: ORDER.index(module)])


def borrowed(module: str, source: str) -> set[str]:
    """Give what only another module may import."""
    found = third_parties(ast.walk(ast.parse(source)))
    return {name for name in found if module not in OWNERS.get(name, {module})}


def undeclared(module: str, source: str) -> set[str]:
    """Give the packages that importing `module` needs, and that an installation may lack."""
    found = third_parties(walk_at_import(ast.parse(source)))
    return found - DEPENDENCIES - EXTRAS.get(module, set())


def test_every_module_has_its_place_in_the_order() -> None:
    assert set(SOURCES) <= set(ORDER)


@pytest.mark.parametrize("module", SOURCES)
def test_module_imports_only_from_modules_above_it(module: str) -> None:
    assert not imports_from_below(module, SOURCES[module])


@pytest.mark.parametrize("module", SOURCES)
def test_module_leaves_fastapi_and_orjson_to_the_one_that_knows_them(module: str) -> None:
    assert not borrowed(module, SOURCES[module])


@pytest.mark.parametrize("module", SOURCES)
def test_module_needs_only_what_is_installed_with_it(module: str) -> None:
    assert not undeclared(module, SOURCES[module])


@pytest.mark.parametrize(
    ("source", "found"),
    [
        pytest.param("from ._middleware import x", {"_middleware"}, id="relative"),
        pytest.param("from . import _install as i", {"_install"}, id="module of the package"),
        pytest.param("from . import NotFoundError", {"__init__"}, id="name of the package"),
        pytest.param("from authpi_errors.testing import x", {"testing"}, id="absolute"),
        pytest.param("import authpi_errors.openapi", {"openapi"}, id="plain"),
        pytest.param("import authpi_errors", {"__init__"}, id="the package"),
        pytest.param("from ._registry import x", {"_registry"}, id="itself"),
        pytest.param("def f():\n from ._install import x", {"_install"}, id="in a function"),
        pytest.param("from .codes import x\nimport re", set[str](), id="above"),
    ],
)
def test_import_from_below_is_found(source: str, found: set[str]) -> None:
    assert imports_from_below("_registry", source) == found


@pytest.mark.parametrize(
    ("module", "source", "found"),
    [
        pytest.param("_install", "from fastapi.routing import x", {"fastapi"}, id="fastapi"),
        pytest.param("_foreign", "def f():\n import orjson", {"orjson"}, id="in a function"),
        pytest.param("_rendering", "import orjson", set[str](), id="orjson where it belongs"),
        pytest.param("_foreign", "from .fastapi import x", set[str](), id="the own module"),
    ],
)
def test_borrowed_package_is_found(module: str, source: str, found: set[str]) -> None:
    assert borrowed(module, source) == found


@pytest.mark.parametrize(
    ("source", "found"),
    [
        pytest.param("import httpx", {"httpx"}, id="plain"),
        pytest.param("try:\n import rich.table\nfinally: ...", {"rich"}, id="in a try"),
        pytest.param("class A:\n import httpx", {"httpx"}, id="in a class"),
        pytest.param("if DEBUG:\n import rich", {"rich"}, id="under a condition"),
        pytest.param(
            "if TYPE_CHECKING:\n import rich\nelse:\n import httpx", {"httpx"}, id="for checkers"
        ),
        pytest.param("def f():\n import rich", set[str](), id="in a function"),
        pytest.param("async def f():\n import rich", set[str](), id="in a coroutine"),
        pytest.param("import orjson, pytest, starlette.types, json", set[str](), id="declared"),
    ],
)
def test_undeclared_package_is_found(source: str, found: set[str]) -> None:
    assert undeclared("testing", source) == found
