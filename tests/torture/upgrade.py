"""Two deployments at once: the code of the schema before this one works on while the journal is migrated under it.

The old code is taken from git's history: the newest commit with fewer migrations than today. Where there is no
history the fault is not tried, and the run says so.
"""

from __future__ import annotations

import shutil
import subprocess
from functools import cache
from pathlib import Path

from bridge.journal.migrate import current, head
from tests.acceptance.deployment import ROOT, Child, until
from tests.services import free_port
from tests.torture.site import Site

_VERSIONS = "bridge/journal/migrations/versions/"


@cache
def old_commit() -> str | None:
    """Return the newest commit with a schema before today's, None where git can't say.

    Its migrations are the first ones of today: a commit on the way to a schema may have had them in another order.
    """
    today = _migrations("HEAD")
    for commit in _git("rev-list", "--first-parent", "HEAD").split():
        found = _migrations(commit)
        if found != today[: len(found)] or len(found) == len(today):
            continue
        return commit if found else None
    return None


def _migrations(commit: str) -> list[str]:
    """Return path and content hash of each migration of a commit, in order."""
    listed = _git("ls-tree", "--format=%(path) %(objectname)", commit, _VERSIONS).splitlines()
    return sorted(line for line in listed if line.removeprefix(_VERSIONS)[0].isdigit())


def _git(*arguments: str) -> str:
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        return ""
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout


def old_code(where: Path) -> Path:
    """Put the old code there."""
    commit = old_commit()
    assert commit is not None
    packed = subprocess.run(["git", "archive", commit, "bridge"], cwd=ROOT, capture_output=True, check=True).stdout
    where.mkdir(parents=True, exist_ok=True)
    # Python's own extraction has no safe filter before 3.11.4.
    subprocess.run(["tar", "--extract", "--directory", where], input=packed, check=True)
    return where


def rolling(site: Site) -> None:
    """Old processes take and deliver, the journal is migrated, new ones join, and the old ones are stopped."""
    assert site.old is not None
    port = free_port()
    old = {
        "old-web": site.of_old("web", "--port", str(port)),
        "old-worker": site.of_old("worker"),
        "old-sweeper": site.of_old("sweeper"),
    }
    for name, child in old.items():
        site.children[name] = child
        child.start()
    site.opens_at(port)
    part = len(site.untold) // 4
    site.tell(part)
    with site.journal() as database, database.read() as connection:
        assert current(connection) != head()
    telling = site.telling(part)
    assert site.command("db", "upgrade") == 0
    telling.result()
    assert all(child.alive for child in old.values()), "an old process ended when the journal was migrated"
    site.start(webs=1, workers=1)
    site.tell(part)  # by the old door still, while both deployments work
    site.strikes += 1
    site.door = 1
    telling = site.telling()
    for child in old.values():
        _stop(child)
    telling.result()


def _stop(child: Child) -> None:
    assert child.process is not None
    child.process.terminate()
    until(lambda: not child.alive, 30)
