"""The load: posts events over kept connections as fast as they are answered, at a set rate, or just ahead of delivery.

It runs in a process of its own, and speaks HTTP over plain asyncio protocols, so that it costs little and is not slowed
by what it measures. A late answer makes nothing that comes after it look quick: at a set rate a request that could not
go out in time counts from when it should have gone.
"""

from __future__ import annotations

import asyncio
import gc
import random
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from tests.bench.receiver import COUNT, HOST

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_END = b"\r\n\r\n"
_LOOK_S = 0.02


@dataclass(frozen=True, slots=True)
class Order:
    """What to post and how.

    Each of the `flows` keeps its order when there are as many connections as the load likes: a customer's events are in
    one flow, so that none overtakes another on the way in.
    """

    port: int
    head: bytes
    """The request's head up to the length of its body."""
    flows: Sequence[Sequence[bytes]]
    seconds: float = 3600.0
    rate: float | None = None
    """Requests a second; none: as fast as they are answered."""
    receiver_port: int = 0
    ahead: int = 0
    """How many events may be on their way to the receiver; 0: as many as there are."""
    host: str = HOST
    """The address of the server and of the receiver."""


@dataclass(slots=True)
class Answers:
    """What came back."""

    statuses: Counter[int] = field(default_factory=Counter)
    """0 stands for a connection that broke."""
    latencies_s: list[float] = field(default_factory=list)
    begun_ns: int = 0
    ended_ns: int = 0
    """By the clock of the wall, as the receiver notes arrivals."""
    seconds: float = 0.0

    @property
    def per_s(self) -> float:
        """Answers of 200 in a second."""
        return self.statuses[200] / self.seconds

    def __add__(self, other: Answers) -> Answers:
        """Return both as if they were one run."""
        return Answers(
            self.statuses + other.statuses,
            self.latencies_s + other.latencies_s,
            self.begun_ns,
            other.ended_ns,
            self.seconds + other.seconds,
        )


class _Line(asyncio.Protocol):
    """One kept connection with at most one request on it."""

    def __init__(self) -> None:
        self._transport: asyncio.WriteTransport | None = None
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None
        self._gathered = b""

    async def ask(self, host: str, port: int, request: bytes) -> tuple[int, bytes]:
        """Return status and body of the answer; the connection is made when it is not there."""
        loop = asyncio.get_running_loop()
        try:
            if self._transport is None:
                await loop.create_connection(lambda: self, host, port)
        except OSError:
            await asyncio.sleep(_LOOK_S)
            return 0, b""
        assert self._transport is not None
        self._answer = loop.create_future()
        self._transport.write(request)
        return await self._answer

    def close(self) -> None:
        """Close the connection."""
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport, self._gathered = transport, b""

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        self._done(0, b"")

    def data_received(self, data: bytes) -> None:
        self._gathered += data
        head_length = self._gathered.find(_END)
        if head_length < 0:
            return
        stated = _LENGTH.search(self._gathered, 0, head_length)
        begins = head_length + len(_END)
        if stated is not None and len(self._gathered) >= begins + int(stated[1]):
            answer, self._gathered = self._gathered, b""
            self._done(int(answer[9:12]), answer[begins:])

    def _done(self, status: int, body: bytes) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result((status, body))


class _Arrived:
    """How many deliveries have arrived, looked up now and then."""

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._line = _Line()
        self.count = 0

    async def look(self) -> None:
        """Look until cancelled."""
        try:
            while True:
                status, body = await self._line.ask(self._host, self._port, COUNT)
                self.count = int(body) if status == 200 else self.count
                await asyncio.sleep(_LOOK_S)
        finally:
            self._line.close()


def post(order: Order) -> Answers:
    """Carry out the order and return what came back."""
    gc.collect()
    gc.disable()  # a pause of the load would count as one of what it measures
    try:
        return asyncio.run(_post(order))
    finally:
        gc.enable()


async def _post(order: Order) -> Answers:
    answers = Answers(begun_ns=time.time_ns())
    begun_s = time.perf_counter()
    lines = [_Line() for _ in order.flows]
    arrived = _Arrived(order.host, order.receiver_port)
    watch = asyncio.create_task(arrived.look()) if order.ahead else None
    try:
        if order.rate is not None:
            shared = _schedule(order, begun_s)
            await asyncio.gather(*(_at_rate(line, order, shared, answers) for line in lines))
        else:
            may_start = _holds_back(order, arrived)
            pairs = zip(lines, order.flows, strict=True)
            ends_s = begun_s + order.seconds
            await asyncio.gather(*(_at_once(line, order, flow, ends_s, may_start, answers) for line, flow in pairs))
    finally:
        if watch is not None:
            watch.cancel()
        for line in lines:
            line.close()
    answers.seconds = time.perf_counter() - begun_s
    answers.ended_ns = time.time_ns()
    return answers


def _schedule(order: Order, begun_s: float) -> Iterator[tuple[float, bytes]]:
    """Give the bodies with the time at which each should go: as independent customers cause them, not in step."""
    assert order.rate is not None
    lots = random.Random(0)
    due_s = begun_s
    for bodies in zip(*order.flows, strict=False):
        for body in bodies:
            due_s += lots.expovariate(order.rate)
            if due_s - begun_s > order.seconds:
                return
            yield due_s, body


def _holds_back(order: Order, arrived: _Arrived) -> Callable[[], bool]:
    sent = 0

    def may_start() -> bool:
        nonlocal sent
        if order.ahead and sent - arrived.count >= order.ahead:
            return False
        sent += 1
        return True

    return may_start


async def _at_rate(line: _Line, order: Order, shared: Iterator[tuple[float, bytes]], answers: Answers) -> None:
    for due_s, body in shared:
        early_s = due_s - time.perf_counter()
        if early_s > 0:
            await asyncio.sleep(early_s)
            due_s = time.perf_counter()  # the sleep's own lateness is not the server's
        await _one(line, order, body, due_s, answers)


async def _at_once(
    line: _Line, order: Order, flow: Sequence[bytes], ends_s: float, may_start: Callable[[], bool], answers: Answers
) -> None:
    for body in flow:
        while not may_start() and time.perf_counter() < ends_s:
            await asyncio.sleep(_LOOK_S)
        if time.perf_counter() >= ends_s:
            return
        await _one(line, order, body, time.perf_counter(), answers)


async def _one(line: _Line, order: Order, body: bytes, due_s: float, answers: Answers) -> None:
    status, _ = await line.ask(order.host, order.port, b"%s%d\r\n\r\n%s" % (order.head, len(body), body))
    answers.latencies_s.append(time.perf_counter() - due_s)
    answers.statuses[status] += 1
