"""Where `bridge mappings` gets its mappings from: files and directories, or one mapping by its name."""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import click

from bridge.cli.root import Invocation
from bridge.errors import NotFound, UsageError
from bridge.mapping import Known, Mapping, ReadMapping, read_directory, read_file, with_overlaps
from bridge.settings import Settings

paths_argument = click.argument("paths", nargs=-1, type=click.Path(exists=True, path_type=Path))


def starters() -> Path:
    """Return the directory of the mapping files that come with the bridge."""
    package = Path(__file__).parents[1]
    in_wheel = package / "starters"
    return in_wheel if in_wheel.is_dir() else package.parent / "mappings"


def read_paths(invocation: Invocation, paths: Iterable[Path], *, no_environment: bool) -> list[ReadMapping]:
    """Return what became of the files and directories; without any, of the directory of BRIDGE_MAPPINGS_DIR."""
    settings = invocation.settings
    places = list(paths) or [settings.bridge_mappings_dir]
    read: list[ReadMapping] = []
    files: list[ReadMapping] = []
    for place in places:
        root = place if place.is_dir() else place.parent
        known = Known(*_names(settings), root, bool(settings.clint_api_token))
        if no_environment:
            known = Known(None, None, root)
        if place.is_file():
            files.append(read_file(place, known))
        else:
            read += read_directory(place, known)
    return [*read, *with_overlaps(files)]


def _names(settings: Settings) -> tuple[frozenset[str], frozenset[str]]:
    """Return the names of the accounts and destinations that there are, those in the journal too."""
    from bridge.runtime import Runtime

    with closing(Runtime(settings)) as runtime:
        return frozenset(runtime.accounts), frozenset(runtime.destinations)


def find_mapping(invocation: Invocation, reference: str) -> Mapping:
    """Return the mapping of a file, or of a name in the directory of BRIDGE_MAPPINGS_DIR."""
    path = Path(reference)
    if path.is_file():
        (read,) = read_paths(invocation, [path], no_environment=True)
        return runnable(read)
    return named(read_paths(invocation, (), no_environment=True), reference)


def named(read: Iterable[ReadMapping], name: str) -> Mapping:
    """Return the mapping of that name; raise where there is none or it can't run."""
    for one in read:
        if Path(one.path).stem == name:
            return runnable(one)
    raise NotFound(f"no mapping is named {name!r}", mend="see `bridge mappings show`")


def runnable(read: ReadMapping) -> Mapping:
    """Return the mapping; raise where the file has an error."""
    if read.mapping is None:
        raise UsageError(
            f"mapping {Path(read.path).stem} can't run", where=read.path, mend="see `bridge mappings lint`"
        )
    return read.mapping


def json_file(path: Path) -> Any:
    """Return what a JSON file holds."""
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise UsageError(f"{path} can't be read ({error.strerror})") from None
    except (ValueError, RecursionError):
        raise UsageError(f"{path} is not JSON") from None
