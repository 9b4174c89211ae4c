"""The project around the code: dependencies that are declared, commands that exist, files that a wheel must hold."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml

from bridge import __version__

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


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


def test_the_procfile_names_commands() -> None:
    """Each line of the Procfile starts a command that exists, with options that it knows."""
    for line in (ROOT / "Procfile").read_text().splitlines():
        words = line.split(": ", 1)[1].split()
        environment = {**os.environ, "COLUMNS": "200"}
        told = subprocess.run(
            [sys.executable, "-m", *words, "--help"],
            capture_output=True,
            text=True,
            check=False,
            cwd=ROOT,
            env=environment,
        )

        assert told.returncode == 0, told.stderr
