"""The rules of the house that a machine can check (ARCHITECTURE.md): who imports whom, fences, lengths, names, bans."""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

#: room -> the rooms it may import. No circles, ever.
ROOMS = {
    "ingest": {"ingest"},
    "models": {"models"},
    "vision": {"vision", "ingest", "models"},
    "fusion": {"fusion", "ingest", "vision", "models"},
    "api": {"api", "ingest", "vision", "fusion", "models"},
}
#: What a room may import besides: types that all rooms share.
SHARED = {"models": {"ingest.errors", "ingest.messages"}}

#: Files at the end of the road: the command line runs them, nobody imports them. `train` files may share their steps.
ENDS = ("train", "worker", "app", "cli", "up", "demo")
IMPORTS_ENDS = {
    "api/bench/measure.py": "the bench is a command that trains, then runs the roles it measures",
    "api/demo.py": "the demo is the command that runs simulate, train and up, one after the other",
    "api/up.py": "`qcfuse up` runs the roles",
    "fusion/teach.py": "teaching is training an eye anew",
    "fusion/training/eyes.py": "training the judge begins with training the eyes",
}

#: library -> the only files that may import it: swapping one touches one file.
FENCES = {
    "cv2": ("vision/image.py", "ingest/simulate/render.py"),
    "onnxruntime": ("models/open.py",),
    "kafka": ("ingest/log/kafka*.py",),
    "sqlite3": ("ingest/log/embedded*.py",),
    "sqlalchemy": ("api/store/*.py", "api/migrations/*.py", "api/migrations/versions/*.py"),
    "alembic": ("api/store/*.py", "api/migrations/*.py", "api/migrations/versions/*.py"),
    "asyncua": ("api/plc/*.py",),
    "yaml": ("ingest/plan/file.py",),
    "fsspec": ("ingest/blobs.py",),
    "fastapi": ("api/*.py", "api/*/*.py"),
    "uvicorn": ("api/app.py",),
    "prometheus_client": ("api/metrics.py",),
    "argon2": ("api/access/passwords.py",),
    "httpx": ("api/access/oidc*.py",),
    "joserfc": ("api/access/oidc*.py",),
}

FILE_LINES_MAX = 300
TEST_FILE_LINES_MAX = 400  # a table of cases is long and easy to read
FUNCTION_LINES_MAX = 40
#: What is longer, and why. Hard limits: 400 lines a file, 60 a function.
LONGER = {
    "api/migrations/versions/0001_first_tables.py:_verdicts": "a table is one list of columns",
    "api/migrations/versions/0001_first_tables.py:_evidence": "a table is one list of columns",
    "deploy/kafka/run.py": "one file that needs nothing else, so that it can be copied to a broker's machine",
    "fusion/replay.py:replay_folder": "opens all that a replay needs, in the order it is closed again",
    "ingest/simulate/housings.py:draw_housings": "one part from blank to finished, station by station",
    "models/shelf.py:save_model": "its many named arguments are the manifest's fields",
    "vision/guests/foreign_train.py:train_foreign": "one model from its file to the shelf, step by step",
}
HARD_FILE_LINES, HARD_FUNCTION_LINES = 400, 60

BANNED_NAMES = {"data", "info", "manager", "utils", "util", "helper", "helpers", "process"}
#: Files that may catch everything, and what they do with it. A handler that raises the same again needs no mention.
CATCHES_ALL = {"ingest/log/embedded_care.py": "a thread's failure is kept and raised again in the members' own threads"}
MAY_PRINT = ("api/cli.py", "api/commands/*.py", "deploy/**/*.py", "tests/**/*.py")


@cache
def sources() -> tuple[str, ...]:
    """Every Python file of the project that git knows or would take, relative to its root."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.py"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    return tuple(sorted(name for name in listed if (ROOT / name).is_file()))


@cache
def tree(name: str) -> ast.Module:
    return ast.parse((ROOT / name).read_text("utf-8"), name)


def rooms() -> list[str]:
    return [name for name in sources() if name.split("/")[0] in ROOMS]


@cache
def imported(name: str) -> tuple[tuple[str, int], ...]:
    """Every module a file imports, at its top or within a function, with the line."""
    return tuple(_imported(name))


def _imported(name: str) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree(name)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module, node.lineno
            for alias in node.names:
                if (ROOT / node.module.replace(".", "/") / f"{alias.name}.py").is_file():
                    yield f"{node.module}.{alias.name}", node.lineno


def functions(name: str) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree(name)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(Path(name).match(pattern) or Path("/" + name).match("/" + pattern) for pattern in patterns)


def test_rooms_import_only_the_rooms_they_may() -> None:
    wrong = []
    for name in rooms():
        room = name.split("/")[0]
        for module, line in imported(name):
            other = module.split(".")[0]
            if other in ROOMS and other not in ROOMS[room] and module not in SHARED.get(room, set()):
                wrong.append(f"{name}:{line} imports {module}")
            if other == "tests":
                wrong.append(f"{name}:{line} imports {module}")
    assert not wrong


def test_no_module_imports_itself_in_a_circle() -> None:
    """Over imports at the top of files: what is imported within a function runs when both are there."""
    known = {name.removesuffix(".py").removesuffix("/__init__").replace("/", "."): name for name in rooms()}
    needs = {module: {m for m in top_imports(name) if m in known and m != module} for module, name in known.items()}
    while free := [module for module, others in needs.items() if not others]:
        for module in free:
            del needs[module]
        for others in needs.values():
            others.difference_update(free)
    assert not needs, f"in a circle: {sorted(needs)}"


def top_imports(name: str) -> set[str]:
    found: set[str] = set()
    for node in tree(name).body:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return found


def test_only_the_command_line_imports_what_it_runs() -> None:
    ends = {f"{room}.{end}" for room in ROOMS for end in ENDS}
    wrong = [
        f"{name}:{line} imports {module}"
        for name in rooms()
        for module, line in imported(name)
        if module in ends and name not in IMPORTS_ENDS and not matches(name, ("api/cli.py", "api/commands/*.py"))
    ]
    assert not wrong


@pytest.mark.parametrize("library", FENCES)
def test_each_library_lives_behind_its_fence(library: str) -> None:
    wrong = [
        f"{name}:{line}"
        for name in rooms()
        for module, line in imported(name)
        if module.split(".")[0] == library and not matches(name, FENCES[library])
    ]
    assert not wrong


def test_files_and_functions_are_short_or_say_why_not() -> None:
    wrong, used = [], set()
    for name in sources():
        limit = TEST_FILE_LINES_MAX if name.startswith("tests/") else FILE_LINES_MAX
        lengths = [(name, (ROOT / name).read_text("utf-8").count("\n"), limit, HARD_FILE_LINES)]
        for node in functions(name):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            lengths.append((f"{name}:{node.name}", lines, FUNCTION_LINES_MAX, HARD_FUNCTION_LINES))
        for what, lines, soft, hard in lengths:
            if lines > soft:
                used.add(what)
            if lines > hard or (lines > soft and what not in LONGER):
                wrong.append(f"{what} has {lines} lines")
    assert not wrong
    assert not set(LONGER) - used, "no longer long: take it off the list"


def test_nothing_bears_a_name_that_says_nothing() -> None:
    wrong = []
    for name in sources():
        named = [(Path(name).stem, 1)]
        for node in ast.walk(tree(name)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                named.append((node.name, node.lineno))
        for word, line in named:
            parts = re.findall(r"[a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", word).lower())
            if not word.startswith("test_") and BANNED_NAMES & set(parts):
                wrong.append(f"{name}:{line} {word}")
    assert not wrong


def passes_on(handler: ast.ExceptHandler) -> bool:
    """Does it clean up and raise the same again? Then nothing is swallowed."""
    last = handler.body[-1]
    return isinstance(last, ast.Raise) and last.exc is None


def test_no_broad_except_and_no_print_outside_the_command_line() -> None:
    wrong = []
    for name in sources():
        for node in ast.walk(tree(name)):
            if isinstance(node, ast.ExceptHandler):
                kinds = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
                broad = any(kind is None or getattr(kind, "id", "") in ("Exception", "BaseException") for kind in kinds)
                if broad and not passes_on(node) and name not in CATCHES_ALL:
                    wrong.append(f"{name}:{node.lineno} catches everything")
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "print" and not matches(name, MAY_PRINT):
                wrong.append(f"{name}:{node.lineno} prints")
    assert not wrong


def test_every_module_of_a_room_explains_itself() -> None:
    silent = [name for name in rooms() if not ast.get_docstring(tree(name))]
    assert not silent


def tracked_texts() -> Iterator[tuple[str, str]]:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split(
        "\n"
    )
    for name in filter(None, listed):
        path = ROOT / name
        if path.is_file() and path.suffix not in (".png", ".jpg", ".ico", ".woff2") and path != Path(__file__):
            yield name, path.read_text("utf-8")


def test_nothing_speaks_of_the_machine_it_was_written_on_nor_leaves_work_undone() -> None:
    banned = re.compile(
        r"(?<![\w.])/work/|(?<![\w.])/root/|pythonhosted|//pypi\.org|repo1?\.maven|registry\.npmjs|\bTODO\b|\bFIXME\b|\bXXX\b"
    )
    wrong = [
        f"{name}: {found.group()}" for name, text in tracked_texts() for found in banned.finditer(text)
    ]  # fmt: skip
    assert not wrong


def test_packages_are_listed_as_they_lie() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    listed = set(project["tool"]["setuptools"]["packages"])
    lie = {str(Path(name).parent).replace("/", ".") for name in rooms() if name.endswith("/__init__.py")}
    assert listed == lie


def test_tests_mirror_the_rooms() -> None:
    folders = {name.split("/")[1] for name in sources() if name.startswith("tests/") and name.count("/") > 1}
    assert folders <= {*ROOMS, "flow", "broker", "browser", "bench", "deploy"}
    assert not [name for name in sources() if name.startswith("tests/") and name.endswith("__init__.py")]
