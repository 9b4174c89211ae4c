"""What `make torture` says: which faults there are, how a try went, and the table for docs/reliability.md."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from click.testing import CliRunner

from tests.torture.__main__ import MATRIX, main
from tests.torture.fault import POSTGRESQL, SQLITE, Fault, Tried
from tests.torture.judge import Judgement
from tests.torture.measured import rows, table
from tests.torture.run import line, tries_of

FAULT = Fault("flushed", "Redis", lambda _site: None)
KEPT = Judgement(12, Counter(delivered=22, dead=2), repeats=1, unknown=3)
BROKEN = Judgement(11, Counter(delivered=22), repeats=0, unknown=0, breaches=["event 7 was lost"])


def test_the_matrix_is_listed() -> None:
    """`--list` names every fault that this machine can try, `--only` narrows it down, and no two look the same."""
    told = CliRunner().invoke(main, ["--list", "--only", "Redis", "--only", "clock"]).stdout.splitlines()

    assert "Redis: flushed (sqlite, postgresql)" in told
    assert all(one.startswith(("Redis: ", "clock: ")) for one in told)
    assert max(Counter((one.area, one.name, one.databases) for one in MATRIX).values()) == 1


def test_each_fault_is_tried_on_the_databases_that_it_concerns() -> None:
    """A fault of PostgreSQL's server is not tried on SQLite."""
    killed = Fault("killed", "database", lambda _site: None, databases=(POSTGRESQL,))

    assert (
        tries_of([FAULT, killed], (SQLITE, POSTGRESQL), 2)
        == [
            (FAULT, SQLITE),
            (FAULT, POSTGRESQL),
            (killed, POSTGRESQL),
        ]
        * 2
    )


def test_a_try_that_broke_a_promise_says_how_and_where_its_logs_are(tmp_path: Path) -> None:
    """What kept its promises is one line; else each breach has one, and a fault that did not strike is none kept."""
    kept = Tried(FAULT, SQLITE, 1.5, strikes=2, judgement=KEPT)
    broken = Tried(FAULT, SQLITE, 1.5, strikes=2, judgement=BROKEN, scratch=tmp_path)
    idle = Tried(FAULT, SQLITE, 1.5, judgement=KEPT, scratch=tmp_path)
    ended = Tried(FAULT, SQLITE, 1.5, trouble="OSError: no", scratch=tmp_path)

    assert line(kept) == "kept  Redis: flushed (sqlite, 1.5 s)"
    assert line(broken).splitlines()[1:] == ["       event 7 was lost", f"       logs: {tmp_path}"]
    assert line(idle).splitlines()[1:] == ["       the fault did not strike", f"       logs: {tmp_path}"]
    assert line(ended).splitlines()[1:] == ["       OSError: no", f"       logs: {tmp_path}"]
    assert [one.held for one in (kept, broken, idle, ended)] == [True, False, False, False]


def test_the_table_says_what_was_broken() -> None:
    """Tries of a fault are one row, with what they add up to, and how many of them broke a promise."""
    tried = [
        Tried(FAULT, SQLITE, 1.5, strikes=2, judgement=KEPT),
        Tried(FAULT, POSTGRESQL, 1.5, strikes=3, judgement=BROKEN),
    ]
    (row,) = rows(tried)

    assert row["broken"] == ["event 7 was lost"]
    assert table([row]).splitlines()[-1] == "| Redis: flushed | 1, 1 | 5 | 23 | 46 | 3 | 1 | **1 of 2 broken** |"
    assert table(list(rows(tried[:1]))).splitlines()[-1].endswith("| 1, - | 2 | 12 | 24 | 3 | 1 | all kept |")
