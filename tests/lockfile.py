"""What is installed in the image: each package with its version and the hashes of its files, naming no index.

`requirements.lock` has what the bridge runs with, `requirements-build.lock` what builds its wheel.
`python -m tests.lockfile write` makes them anew with uv, which asks the package index that is set up on the machine;
`check` works without a network and says in which way a file is not what pyproject.toml asks for.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]
EXTRA = "otel"
"""The extra that the image has too."""
_HEAD = """\
# Made by `make lock` from pyproject.toml; do not edit.
# of: {digest}
"""


def asked() -> dict[str, list[str]]:
    """Return by file what pyproject.toml asks for."""
    made: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    project = made["project"]
    return {
        "requirements.lock": sorted([*project["dependencies"], *project["optional-dependencies"][EXTRA]]),
        "requirements-build.lock": sorted(made["build-system"]["requires"]),
    }


def digest(wanted: Sequence[str]) -> str:
    """Return what changes when something else is asked for."""
    return hashlib.sha256(json.dumps(list(wanted)).encode()).hexdigest()[:16]


def faults(text: str, wanted: Sequence[str]) -> Iterator[str]:
    """Say how the text of a lock is not what is asked for."""
    if f"# of: {digest(wanted)}\n" not in text:
        yield "pyproject.toml has changed since it was made"
    if found := re.search(r"https?://|--(index|extra|find|trusted)[^ ]*", text):
        yield f"it names a place to get packages from: {found.group()}"
    locked: dict[str, set[Version]] = {}
    for entry in re.split(r"\n(?=[a-z0-9])", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE).strip()):
        pinned = re.match(r"([a-z0-9][a-z0-9-]*)(?:\[[^]]*\])?==(\S+)", entry)
        if pinned is None:
            yield f"not pinned: {entry.splitlines()[0]}"
            continue
        locked.setdefault(pinned[1], set()).add(Version(pinned[2]))
        if "--hash=sha256:" not in entry:
            yield f"without a hash: {pinned[1]}"
    yield from _missing(locked, [Requirement(one) for one in wanted])


def _missing(locked: dict[str, set[Version]], asked: list[Requirement]) -> Iterator[str]:
    """Follow what is asked for, and what that asks for as far as it is installed here."""
    seen: set[str] = set()
    while asked:
        one = asked.pop()
        name = canonicalize_name(one.name)
        if str(one) in seen or (one.marker is not None and not one.marker.evaluate({"extra": ""})):
            continue
        seen.add(str(one))
        versions = locked.get(name, set())
        if not any(one.specifier.contains(version, prereleases=True) for version in versions):
            said = ", ".join(map(str, sorted(versions))) or "nothing"
            yield f"{name}{one.specifier} is asked for, and the lock has {said}"
        try:
            asked += [Requirement(inner) for inner in requires(name) or []]
        except PackageNotFoundError:
            continue


def write(file: str, wanted: Sequence[str]) -> None:
    """Make a lock anew, for every platform and every Python that the project is for."""
    options = ["--universal", "--generate-hashes", "--upgrade", "--no-header", "--no-annotate", "--no-emit-index-url"]
    made = subprocess.run(
        [sys.executable, "-m", "uv", "pip", "compile", "-", "--quiet", *options, "--python-version", "3.11"],
        input="\n".join(wanted),
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    (ROOT / file).write_text(_HEAD.format(digest=digest(wanted)) + made.stdout, encoding="utf-8")


def main() -> None:
    """Do what the argument says."""
    wrong = False
    for file, wanted in asked().items():
        if sys.argv[1:] == ["write"]:
            write(file, wanted)
        for fault in faults((ROOT / file).read_text(encoding="utf-8"), wanted):
            print(f"{file}: {fault}", file=sys.stderr)  # noqa: T201 (this is a command)
            wrong = True
    if wrong:
        sys.exit("run make lock")


if __name__ == "__main__":
    main()
