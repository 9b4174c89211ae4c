"""Where a request ends, however it is cut into pieces."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.web.whole_request import MAX_HEAD_BYTES, Gathered, Progress

MOST = 1_000
WITH_LENGTH = b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%b"
CHUNKED = b"POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
IN_CHUNKS = CHUNKED + b"%b0\r\n%b\r\n"


def steps(pieces: list[bytes]) -> list[Progress]:
    """Return what is said after each piece."""
    gathered = Gathered(b"", MOST)
    said = []
    for piece in pieces:
        gathered.data += piece
        said.append(gathered.progress())
    return said


def requests() -> st.SearchStrategy[bytes]:
    """Return whole requests: without a body, with a length, in chunks."""
    bodies = st.binary(max_size=60)
    chunks = st.lists(st.binary(min_size=1, max_size=20).map(lambda piece: b"%x;a=b\r\n%b\r\n" % (len(piece), piece)))
    trailers = st.sampled_from([b"", b"X-A: b\r\n", b"X-A: b\r\nX-B: c\r\n"])
    return st.one_of(
        st.just(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
        bodies.map(lambda body: WITH_LENGTH % (len(body), body)),
        st.builds(lambda some, last: IN_CHUNKS % (b"".join(some), last), chunks, trailers),
    )


@settings(deadline=None, max_examples=150)
@given(requests(), st.lists(st.integers(1, 200), max_size=8))
def test_a_request_is_whole_with_its_last_byte_and_not_before(request_: bytes, cuts: list[int]) -> None:
    """In whatever pieces it comes."""
    at = sorted({0, len(request_) - 1, *(cut for cut in cuts if cut < len(request_)), len(request_)})
    pieces = [request_[start:end] for start, end in itertools.pairwise(at)]

    assert steps(pieces) == [Progress.PARTIAL] * (len(pieces) - 1) + [Progress.WHOLE]


@settings(deadline=None, max_examples=150)
@given(st.lists(st.binary(max_size=80), max_size=6))
def test_whatever_comes_is_judged(pieces: list[bytes]) -> None:
    """No bytes make it fail."""
    assert set(steps([b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", *pieces])) <= set(Progress)
    assert set(steps(pieces)) <= set(Progress)


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (b"GET / HTTP/1.1\r\nX: " + b"x" * MAX_HEAD_BYTES, Progress.ENDLESS),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * MAX_HEAD_BYTES + b"\r\n\r\n", Progress.ENDLESS),
        (WITH_LENGTH % (MOST, b""), Progress.PARTIAL),
        (WITH_LENGTH % (MOST + 1, b""), Progress.OVERSIZED),
        (b"POST / HTTP/1.1\r\ncontent-LENGTH:  5\r\n\r\nabcd", Progress.PARTIAL),
        (b"POST / HTTP/1.1\r\nX-Content-Length: 5\r\n\r\n", Progress.WHOLE),
        (b"POST / HTTP/1.1\r\nContent-Length: 5x\r\n\r\n", Progress.WHOLE),
        (CHUNKED + b"%x\r\n" % (MOST + 1), Progress.OVERSIZED),
        (CHUNKED + b"1\r\na\r\n" * (MOST // 2), Progress.OVERSIZED),
        (CHUNKED + b"x" * 100, Progress.WHOLE),
        (b"POST / HTTP/1.1\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nab", Progress.PARTIAL),
    ],
)
def test_what_will_never_be_read_is_not_gathered(request_: bytes, said: Progress) -> None:
    """Endless headers and oversized bodies end at once; what is no HTTP is left to the parser to refuse."""
    assert steps([request_]) == [said]


@pytest.mark.parametrize("framing", [b"Content-Length: 2", b"Transfer-Encoding: chunked"])
def test_a_client_that_waits_to_be_asked_is_asked_once(framing: bytes) -> None:
    """Some send a large body only after `100 Continue`."""
    head = b"POST / HTTP/1.1\r\nExpect: 100-continue\r\n" + framing + b"\r\n\r\n"

    assert steps([head, b"a"]) == [Progress.AWAITED, Progress.PARTIAL]
