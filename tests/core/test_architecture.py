"""What the code may import, compare and grow to. The rules are docs/decisions.md's; offenders are listed here."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = ROOT / "include" / "offpeak"
MOST_LINES, MOST_FUNCTION_LINES, MOST_PARAMETERS = 400, 50, 6
CONSTRUCTORS = frozenset[str]()
"""Public constructors that may take more: `path:function`. Dataclasses have none of their own."""
SDKS = frozenset({"openai", "anthropic", "boto3", "botocore"})
NAMES_OF_PROVIDERS = frozenset({"openai", "anthropic", "bedrock"})


def files(*folders: str) -> list[Path]:
    return sorted(
        path
        for folder in folders
        for path in (ROOT / folder).rglob("*.py")
        if "__pycache__" not in path.parts
    )


CODE = files("include", "plugins", "dags")


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


def imported(path: Path) -> Iterator[tuple[int, str]]:
    """Every top-level package that the file imports, inside functions too, but not for the type checker."""
    for node in running(tree(path)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name.partition(".")[0]) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.lineno, node.module.partition(".")[0]
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called in ("import_module", "__import__"):
                yield node.lineno, str(node.args[0].value).partition(".")[0]


def running(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes below, without what stands under `if TYPE_CHECKING`."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
            for other in child.orelse:
                yield other
                yield from running(other)
            continue
        yield child
        yield from running(child)


def within(path: Path, *folders: str) -> bool:
    return any((LIBRARY / folder) in path.parents for folder in folders)


def shown(path: Path, line: int, what: str) -> str:
    return f"{path.relative_to(ROOT)}:{line}: {what}"


def test_only_the_airflow_folder_and_the_demo_import_airflow() -> None:
    found = [
        shown(path, line, f"imports {name}")
        for path in files("include")
        if not within(path, "on_airflow", "demo")
        for line, name in imported(path)
        if name == "airflow"
    ]
    assert found == []


def test_only_the_adapters_import_a_providers_sdk() -> None:
    found = [
        shown(path, line, f"imports {name}")
        for path in CODE
        if not within(path, "providers")
        for line, name in imported(path)
        if name in SDKS
    ]
    assert found == []


def test_nobody_else_asks_which_provider_it_is() -> None:
    found = []
    for path in files("include", "plugins"):
        if within(path, "providers", "emulator", "demo"):
            continue
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Compare):
                sides = [node.left, *node.comparators]
                said = {
                    part.value for side in sides for part in ast.walk(side) if isinstance(part, ast.Constant)
                }
            elif isinstance(node, ast.MatchValue) and isinstance(node.value, ast.Constant):
                said = {node.value.value}
            else:
                continue
            if said & NAMES_OF_PROVIDERS:
                found.append(shown(path, node.lineno, ast.unparse(node)))
    assert found == []


def test_files_stay_readable() -> None:
    lengths = {path: len(path.read_text("utf-8").splitlines()) for path in CODE}
    assert [shown(path, count, "lines") for path, count in lengths.items() if count > MOST_LINES] == []


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree(path)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node


def test_functions_stay_readable() -> None:
    found = []
    for path in CODE:
        for node in functions(path):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > MOST_FUNCTION_LINES:
                found.append(shown(path, node.lineno, f"{node.name} has {length} lines"))
    assert found == []


def click_command(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """A command's parameters are its options: the decorators above it name them."""
    return any(
        "option" in ast.unparse(decorator) or "argument" in ast.unparse(decorator)
        for decorator in node.decorator_list
    )


def test_functions_take_few_parameters() -> None:
    found = []
    for path in CODE:
        for node in functions(path):
            given = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            count = len([one for one in given if one.arg not in ("self", "cls")])
            name = f"{path.relative_to(ROOT)}:{node.name}"
            if count > MOST_PARAMETERS and name not in CONSTRUCTORS and not click_command(node):
                found.append(shown(path, node.lineno, f"{node.name} takes {count}"))
    assert found == []


@pytest.mark.parametrize("name", ["utils", "util", "helpers", "helper", "common", "misc"])
def test_every_module_has_a_noun(name: str) -> None:
    assert [
        path for path in files("include", "plugins", "dags", "tests") if name in (path.stem, path.parent.name)
    ] == []


def test_importing_the_library_imports_nothing_heavy_at_module_level() -> None:
    heavy = {"pyarrow", "pandas", "duckdb", "great_expectations", "boto3", "airflow"}
    found = []
    for path in files("include"):
        if within(path, "on_airflow", "demo", "emulator"):
            continue
        for node in tree(path).body:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
            found += [shown(path, node.lineno, name) for name in names if name.partition(".")[0] in heavy]
    assert found == []
