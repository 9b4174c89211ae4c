"""Whatever a file holds, reading it takes bounded time and memory: a sweeper reads files that nobody looked at."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bridge.mapping import Setup, parse_mapping, read_file
from bridge.mapping.document import MAX_CHARACTERS
from bridge.mapping.findings import MAX_FINDINGS
from tests.measuring import uncounted

ANYTHING = Setup(None, None)
SOUND = "events: [PAYMENT_RECEIVED]\ncontact: {email: customer.email}\n"
LAUGHS = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 60))


def filled(head: str, piece: str, tail: str = "") -> str:
    """Return as many pieces as a file may hold."""
    return head + piece * ((MAX_CHARACTERS - len(head) - len(tail)) // len(piece)) + tail


NASTY = {
    "a megabyte of garbage": "%$#{" * 262_144,
    "a billion laughs": LAUGHS,
    "open braces": filled("", "{a: "),
    "open brackets": filled("", "["),
    "one key thousands of times": filled("", "a: 1\n"),
    "thousands of keys": "".join(f"k{n}: 1\n" for n in range(6_000)),
    "aliases": filled("a: [", "*a, ", "]"),
    "anchors": filled("a: [", "&a x, ", "]"),
    "tags": filled("a: [", "!x y, ", "]"),
    "unknown events": filled("events: [", "PAYMENT_RECIVED, ", "]"),
    "broken expressions": SOUND + "deal:\n" + "".join(f"  k{n}: a.b||c d\n" for n in range(3_000)),
    "expressions in a template": filled(f"{SOUND}deal: {{x: {{template: '", "{a.b}", "'}}"),
    "empty tests": filled(f"{SOUND}tests:\n", "  - {}\n"),
    "routes that nobody reaches": filled(f"{SOUND}routes:\n", "  - {events: PAYMENT_*, send_to: a}\n"),
    "traps": filled("a: [", "on, ", "]"),
    "a deep expression": f"{SOUND}deal: {{x: {'!' * 1_900}a}}",
    "one endless text": filled("description: ", "x"),
    "one endless line of quotes": filled("description: ", '"'),
}
MEASURE = """
import json, resource, sys, time
from bridge.mapping import Setup, parse_mapping
parse_mapping("events: [PAYMENT_RECEIVED]", "m.yaml", Setup(None, None))
told = {}
for name, text in json.load(sys.stdin).items():
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    read = parse_mapping(text, "m.yaml", Setup(None, None))
    grown_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    told[name] = [len(read.findings), read.mapping is None, time.process_time() - began, grown_kb]
json.dump(told, sys.stdout)
"""
MOST_S = 10.0
MOST_KB = 64 * 1024


@pytest.mark.slow
def test_nasty_files_are_refused_in_bounded_time_and_memory() -> None:
    """Each in a few seconds and megabytes, with findings that somebody can read."""
    with uncounted():  # watched line by line it takes twice as long, and its time is what counts
        done = subprocess.run(
            [sys.executable, "-c", MEASURE], input=json.dumps(NASTY), capture_output=True, text=True, check=True
        )
    told = json.loads(done.stdout)

    assert set(told) == set(NASTY)
    for name, (findings, refused, took_s, grown_kb) in told.items():
        assert 1 <= findings <= MAX_FINDINGS + 1, name
        assert refused or name == "one endless text", name
        assert took_s < MOST_S, (name, took_s)
        assert grown_kb < MOST_KB, (name, grown_kb)


def test_findings_end_with_a_word_about_the_rest() -> None:
    """The last one says that there is more, at the last place that was looked at."""
    read = parse_mapping("x: 1\n" * 1_000, "m.yaml", ANYTHING)

    assert len(read.findings) == MAX_FINDINGS + 1
    (more,) = [one for one in read.findings if one.code == "file.too_many_findings"]
    assert str(more) == "m.yaml:201:1: file.too_many_findings: 200 findings and more; fix these first"
    assert read.mapping is None


def test_a_huge_file_is_too_large_even_where_it_is_cut_within_a_character(tmp_path: Path) -> None:
    """Only its beginning is read; that the cut falls into a letter of two bytes is not the file's fault."""
    path = tmp_path / "x.yaml"
    path.write_text("a" + "ç" * 1_000_000, encoding="utf-8")
    (finding,) = read_file(path, ANYTHING).findings

    assert finding.code == "file.too_large"
