"""The project around the code: dependencies that are declared, commands that exist, files that a wheel must hold."""

from __future__ import annotations

import ast
import inspect
import pkgutil
import re
import subprocess
import sys
import textwrap
import tomllib
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from bridge import __version__
from bridge.cli.main import cli

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))

FORCED = {
    (
        "worker/rq_worker.py",
        "_install_signal_handlers",
    ): "RQ's work() installs its handlers without asking; ours stop the drains too, and outlive one RQ worker",
    (
        "worker/rq_worker.py",
        "_stop_requested",
    ): "request_stop() of a busy RQ worker writes to Redis and installs handlers;"
    " a signal handler must not wait for a Redis that is away",
}
"""Private names of libraries that are used, each with its reason."""
NOT_PRIVATE = frozenset({"_", "_asdict", "_replace", "_typeshed"})
"""gettext's name, the public methods of named tuples, and the package of types that the standard library has."""
TUNING = frozenset({"gc", "malloc_trim", "mallopt", "meta_path", "sched_setaffinity", "setswitchinterval"})


def plain(name: str) -> str:
    """Return a distribution's name as indexes compare it, without its version."""
    return re.sub(r"[-_.]+", "-", re.split(r"[\s\[<>=!~;]", name, maxsplit=1)[0]).lower()


def imported(package: Path) -> set[str]:
    """Return the first word of everything that the package imports from outside itself and the standard library."""
    words = set()
    for path in package.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                words |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                words.add(node.module.split(".")[0])
    return words - set(sys.stdlib_module_names) - {package.name, "_typeshed"}


def undeclared(words: set[str], declared: set[str]) -> set[str]:
    """Return the words that none of the declared distributions brings."""
    brought = packages_distributions()
    return {word for word in words if not {plain(name) for name in brought.get(word, [])} & declared}


def test_what_the_package_imports_is_declared() -> None:
    """An import that only works because another package happens to bring it breaks on the next machine."""
    names = [*PROJECT["project"]["dependencies"], *PROJECT["project"]["optional-dependencies"]["otel"]]

    assert undeclared(imported(ROOT / "bridge"), {plain(name) for name in names}) == set()


def test_an_extra_is_imported_only_where_it_is_asked_for() -> None:
    """Who installed the bridge without it has all processes."""
    code = (
        "import sys; sys.modules['opentelemetry'] = None; import bridge.web.server, bridge.worker.drain, bridge.runtime"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)

    assert done.returncode == 0, done.stderr


def test_what_the_tests_import_is_declared() -> None:
    """`make setup` brings what the tests need."""
    names = [*PROJECT["project"]["dependencies"], *PROJECT["project"]["optional-dependencies"]["test"]]

    assert undeclared(imported(ROOT / "tests") - {"bridge", "docs"}, {plain(name) for name in names}) == set()


def test_an_undeclared_import_is_found(tmp_path: Path) -> None:
    """The check is not blind: a package that nobody declared is named."""
    (tmp_path / "x.py").write_text("import json\nimport yaml.nodes\nfrom nowhere import thing\n")

    assert undeclared(imported(tmp_path), {"pyyaml"}) == {"nowhere"}


def private(name: str) -> bool:
    """Return whether its owner keeps the name to itself."""
    return name.startswith("_") and not name.endswith("__") and name not in NOT_PRIVATE


def names_within(nodes: Iterable[ast.AST]) -> set[str]:
    """Return the names of functions, variables and parameters, and of what is set on `self` and `cls`."""
    names = set()
    for node in nodes:
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                names.add(name)
            case ast.Name(id=name, ctx=ast.Store()) | ast.arg(arg=name):
                names.add(name)
            case ast.Attribute(value=ast.Name(id="self" | "cls"), attr=name, ctx=ast.Store()):
                names.add(name)
    return names


def inherited(nodes: Iterable[ast.AST]) -> set[str]:
    """Return the private names of classes elsewhere that a class of the module uses, overrides or sets."""
    origins: dict[str, str] = {}
    classes = []
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and not node.level:
            origins |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            origins |= {alias.asname or alias.name: alias.name for alias in node.names}
        elif isinstance(node, ast.ClassDef) and node.bases:
            classes.append(node)
    found = set()
    for node in classes:
        used = names_within(ast.walk(node)) | {one.attr for one in ast.walk(node) if isinstance(one, ast.Attribute)}
        used = {name for name in used if private(name)}
        for base in node.bases:
            first, *rest = ast.unparse(base).split("[")[0].split(".")
            if used and first in origins and not origins[first].startswith("bridge."):
                found |= used & members(pkgutil.resolve_name(".".join([origins[first], *rest])))
    return found


@cache
def members(base: object) -> set[str]:
    """Return the names of a class and of those above it, also of what only its instances have."""
    names = set(dir(base))
    for each in inspect.getmro(base) if isinstance(base, type) else ():
        try:
            names |= names_within(ast.walk(ast.parse(textwrap.dedent(inspect.getsource(each)))))
        except (OSError, TypeError):  # written in C
            continue
    return names


def forced(package: Path) -> Iterator[tuple[str, str]]:
    """Give each private name of a library, and each setting of the interpreter, that a module of the package uses."""
    for path in sorted(package.rglob("*.py")):
        nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
        own, used = names_within(nodes), set()
        for node in nodes:
            match node:
                case ast.Attribute(attr=name):
                    used |= {name} - own
                case ast.Call(func=ast.Name(id="getattr" | "setattr" | "hasattr"), args=[_, ast.Constant(name), *_]):
                    used |= {str(name)} - own
                case ast.Import(names=aliases):
                    used |= {part for alias in aliases for part in alias.name.split(".")}
                case ast.ImportFrom(module=module, names=aliases):
                    used |= {*(module or "").split("."), *(alias.name for alias in aliases)}
        used = {name for name in used if private(name) or name in TUNING} | inherited(nodes)
        yield from ((path.relative_to(package).as_posix(), name) for name in sorted(used))


def test_no_library_is_forced_open() -> None:
    """The public doors of a library are used, but for what stands in FORCED; no process tunes its interpreter."""
    assert set(forced(ROOT / "bridge")) == set(FORCED)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("from sqlalchemy import create_engine\ncreate_engine('sqlite://').pool._do_get()\n", "_do_get"),
        ("import redis\nredis.Redis().connection._sock = None\n", "_sock"),
        ("from jmespath.visitor import _equals\n", "_equals"),
        ("import werkzeug._internal\n", "_internal"),
        ("import flask\nprint(getattr(flask.g, '_values'))\n", "_values"),
        ("from jmespath import visitor\nclass X(visitor.TreeInterpreter):\n    def _is_true(self): ...\n", "_is_true"),
        ("import rq\nclass X(rq.SimpleWorker):\n    def stop(self): self._stop_requested = True\n", "_stop_requested"),
        ("import gc\n", "gc"),
        ("import os\nos.sched_setaffinity(0, {0})\n", "sched_setaffinity"),
    ],
)
def test_a_library_that_is_forced_open_is_found(tmp_path: Path, text: str, name: str) -> None:
    """By whichever way: an attribute, an import, a name in a text, a subclass."""
    (tmp_path / "x.py").write_text(text)

    assert set(forced(tmp_path)) == {("x.py", name)}


@pytest.mark.parametrize("name", PROJECT["project"]["dependencies"])
def test_a_dependency_has_a_least_version(name: str) -> None:
    """Each dependency says the oldest version that has been seen to work."""
    assert ">=" in name


def test_a_wheel_has_the_mapping_files() -> None:
    """They lie where `starters()` looks first, and the image's build has them."""
    assert PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"] == {"mappings": "bridge/starters"}
    assert "COPY mappings /src/mappings\n" in (ROOT / "Dockerfile").read_text()


@pytest.mark.parametrize("name", ["bridge", "asaas-bridge"])
def test_a_script_starts_the_bridge(name: str) -> None:
    """The second name is there for a terminal in which the first one is iproute2's."""
    done = subprocess.run(
        [Path(sys.executable).with_name(name), "--version"], capture_output=True, text=True, check=False
    )

    assert done.stdout == f"{__version__}\n"


def test_the_hooks_run_what_make_lint_runs() -> None:
    """A hook that differs would let through what the CI refuses, or refuse what it lets through."""
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    recipe = re.search(r"^lint:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert recipe

    variables = {"$(PY)": ".venv/bin/python", "$(MAKE)": "make", " --num-workers $(CPUS)": ""}
    commands = recipe[1].replace("@", "")
    for variable, value in variables.items():
        commands = commands.replace(variable, value)
    assert [hook["entry"] for hook in hooks] == [line.strip() for line in commands.splitlines()]


def macros(template: str) -> list[str]:
    """Return the names of a template's macros, in order."""
    return re.findall(r"\{%-? *macro (\w+)", template)


def test_no_template_has_two_macros_of_one_name() -> None:
    """The later one would hide the other, as when two branches add the same."""
    found = {path.name: macros(path.read_text()) for path in (ROOT / "bridge/web/templates").glob("*.html")}

    assert len(found["parts.html"]) > 20
    assert [name for name, names in found.items() if len(set(names)) < len(names)] == []


def test_the_procfile_names_commands() -> None:
    """Each line of the Procfile starts a command that exists, with options that it knows."""
    for line in (ROOT / "Procfile").read_text().splitlines():
        program, *words = line.split(": ", 1)[1].split()
        assert program == "bridge"
        told = CliRunner().invoke(cli, [*words, "--help"], prog_name="bridge")

        assert told.exit_code == 0, told.output
