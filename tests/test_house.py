"""The house keeps its own rules: who imports whom, how long things may be, what is written."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MAY_IMPORT = {
    "abm": {"accounts", "jobs", "hosts", "catalog", "engines"},
    "engines": {"accounts", "jobs", "hosts", "catalog"},
    "hosts": {"accounts", "jobs"},
    "catalog": {"accounts", "jobs"},
    "jobs": {"accounts"},
    "accounts": set(),
}
DOORS = {"views", "api", "consumers", "admin", "urls", "forms", "tasks"}
NEVER_IMPORTS = {
    "models": DOORS | {"services", "work", "queries"},
    "queries": DOORS | {"services", "work"},
    "services": DOORS | {"work"},
    "work": DOORS,
}
"""Inside an app: a service rings a task by its name, so it knows neither tasks nor work."""
RESERVED = {"docker", "paramiko", "subprocess"}
READ_BY = {
    "abm/settings.py",
    "abm/environment.py",
    "abm/celery.py",  # names the settings
    "abm/system.py",  # tells where a setting came from
}
LINES_IN_FILE, LINES_IN_FUNCTION = 300, 40
NO_NAMES = {"core", "common", "utils", "helpers"}
NOT_OURS = re.compile(r"/work/|/root/|/home/\w")

FILES = sorted(
    file
    for app in MAY_IMPORT
    for file in (ROOT / app).rglob("*.py")
    if "migrations" not in file.parts
)
TREES = {file: ast.parse(file.read_text()) for file in FILES}


def name(file: Path) -> str:
    return str(file.relative_to(ROOT))


def imports(file: Path) -> Iterator[str]:
    for node in ast.walk(TREES[file]):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("app", MAY_IMPORT)
def test_imports_point_down(app: str) -> None:
    upward = {
        f"{name(file)} imports {module}"
        for file in FILES
        if file.relative_to(ROOT).parts[0] == app
        for module in imports(file)
        if module.split(".")[0] in MAY_IMPORT.keys() - MAY_IMPORT[app] - {app}
    }

    assert not upward


@pytest.mark.parametrize("room", NEVER_IMPORTS)
def test_no_room_knows_the_ones_above_it(room: str) -> None:
    wrong = {
        f"{name(file)} imports {module}"
        for file in FILES
        if file.stem == room
        for module in imports(file)
        if module.count(".") == 1
        and module.split(".")[0] in MAY_IMPORT
        and module.split(".")[1] in NEVER_IMPORTS[room]
    }

    assert not wrong


def test_only_the_runners_speak_to_machines() -> None:
    rooms = ("hosts/runners/", "hosts/link/", "hosts/gpu/", "hosts/ssh/")
    wrong = {
        f"{name(file)} imports {module}"
        for file in FILES
        if not name(file).startswith(rooms)
        for module in imports(file)
        if module.split(".")[0] in RESERVED
    }

    assert not wrong


def test_only_work_opens_a_runner() -> None:
    wrong = {
        name(file)
        for file in FILES
        if any(module.endswith(".open_runner") for module in imports(file))
        and file.stem != "work"
        and not name(file).startswith("hosts/runners/")
    }

    assert not wrong


def test_no_file_is_too_long() -> None:
    long = {
        name(file): lines
        for file in FILES
        if (lines := len(file.read_text().splitlines())) > LINES_IN_FILE
    }

    assert not long


def test_no_function_is_too_long() -> None:
    long = {
        f"{name(file)}: {node.name}": lines
        for file in FILES
        for node in ast.walk(TREES[file])
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (lines := (node.end_lineno or 0) - node.lineno + 1) > LINES_IN_FUNCTION
    }

    assert not long


def test_what_is_caught_whole_is_raised_again_or_explained() -> None:
    """`except Exception` stands only with a `raise` in it, or a comment that says why not."""
    wrong = set()
    for file in FILES:
        lines = file.read_text().splitlines()
        for node in ast.walk(TREES[file]):
            if not isinstance(node, ast.ExceptHandler):
                continue
            caught = node.type.id if isinstance(node.type, ast.Name) else ""
            if node.type is not None and caught not in {"Exception", "BaseException"}:
                continue
            raises = any(isinstance(inner, ast.Raise) for inner in ast.walk(node))
            explains = any("#" in line for line in lines[node.lineno - 1 : node.lineno + 1])
            if not raises and not explains:
                wrong.add(f"{name(file)}:{node.lineno}")

    assert not wrong


def test_no_module_is_named_for_nothing() -> None:
    assert not {name(file) for file in FILES if NO_NAMES & {file.stem, *file.parts}}


def test_every_module_says_what_it_is() -> None:
    silent = {
        name(file)
        for file in FILES
        if file.name not in {"__init__.py", "urls.py", "admin.py"}
        and not ast.get_docstring(TREES[file])
    }

    assert not silent


def test_nothing_of_one_machine_is_written_down() -> None:
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.splitlines()
    texts = [ROOT / file for file in listed if not file.startswith(("static/vendor/", "tests/"))]
    wrong = {
        name(file): found[0]
        for file in texts
        if file.is_file() and file.suffix not in {".png", ".wav", ".lock"}
        if (found := NOT_OURS.search(file.read_text(errors="replace")))
    }

    assert not wrong


def variables() -> set[str]:
    """Every variable that settings.py reads."""
    found = set()
    for node in ast.walk(TREES[ROOT / "abm/settings.py"]):
        is_read = (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and isinstance(node.func.value, ast.Name)
            and node.func.value.id == "read"
            and node.args
            and isinstance(node.args[0], ast.Constant)
            and isinstance(node.args[0].value, str)
        )
        if is_read:
            found.add(node.args[0].value)
            if node.func.attr == "secret":
                found.add(f"{node.args[0].value}_FILE")
    return found | {"DATABASE_PASSWORD", "DATABASE_PASSWORD_FILE"}


def variables_of_compose() -> set[str]:
    """Every variable that the compose files read."""
    files = ROOT.glob("*compose*.yml")
    return {name for file in files for name in re.findall(r"\$\{([A-Z_]+)", file.read_text())}


def test_settings_are_read_in_one_place() -> None:
    outside = {
        name(file)
        for file in FILES
        if name(file) not in READ_BY
        and not name(file).startswith("hosts/runners/")
        and re.search(r"os\.(environ|getenv)", file.read_text())
    }

    assert not outside


def test_every_variable_is_in_the_example_with_its_default() -> None:
    lines = re.findall(r"^# ([A-Z_]+)=(.*)$", (ROOT / ".env.example").read_text(), re.M)

    assert {key for key, _ in lines} == variables() | variables_of_compose()


def test_every_variable_is_in_the_table_of_the_readme() -> None:
    readme = (ROOT / "README.md").read_text()

    assert set(re.findall(r"^\| `([A-Z_]+)` \|", readme, re.M)) == variables()


def test_the_example_and_the_readme_name_the_same_defaults() -> None:
    example = dict(re.findall(r"^# ([A-Z_]+)=(.*)$", (ROOT / ".env.example").read_text(), re.M))
    table = re.findall(r"^\| `([A-Z_]+)` \| `([^`|]*)` \|", (ROOT / "README.md").read_text(), re.M)

    assert table
    assert {key: value for key, value in table if example[key] != value} == {}
