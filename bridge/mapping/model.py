"""A mapping as frozen values, compiled and ready to run. A value exists only where lint found no error in it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from collections.abc import Mapping as AnyMapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from bridge.mapping.catalogue import EVENTS
from bridge.mapping.document import Scalar
from bridge.mapping.expressions import Expression
from bridge.mapping.findings import Finding
from bridge.mapping.operators import Operator

FETCHABLE = frozenset({"customer", "installment", "subscription", "payment"})
"""The objects that are fetched from Asaas when an expression names them."""
GROUPS = ("contact", "organization", "deal")
"""The three tabs of Clint's mapping screen."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """A condition on one value: `{field: payment.value, at_least: 50}`, or an expression of its own."""

    line: int
    expression: Expression
    operator: Operator | None = None
    """None: the condition holds unless the expression gives null, false or something empty."""
    operands: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        text = self.expression.text
        return f"{text} {self.operator.name} {', '.join(self.operands)}" if self.operator else text


@dataclass(frozen=True, slots=True)
class Group:
    """Conditions that must hold together (`all`), of which one must hold (`any`), or one that must not (`not`)."""

    line: int
    kind: Literal["all", "any", "not"]
    conditions: tuple[Condition, ...]

    @property
    def text(self) -> str:
        return self.kind


Condition = Comparison | Group


def walk(condition: Condition | None, depth: int = 0) -> Iterator[tuple[Condition, int]]:
    """Yield a condition and those inside of it with their depth, in the order of the file."""
    if condition is not None:
        yield condition, depth
    for inner in condition.conditions if isinstance(condition, Group) else ():
        yield from walk(inner, depth + 1)


def comparisons_of(condition: Condition | None) -> list[Comparison]:
    return [one for one, _ in walk(condition) if isinstance(one, Comparison)]


@dataclass(frozen=True, slots=True)
class Template:
    """A text with expressions, such as `Cobrança {payment.invoiceNumber}`; a fixed text has none."""

    text: str
    pieces: tuple[str | Expression, ...]


@dataclass(frozen=True, slots=True)
class Field:
    group: str
    key: str
    source: Expression | Template
    line: int
    column: int
    type: Literal["text", "number", "boolean"] = "text"
    required: bool = False
    identifies: Literal["email", "phone"] | None = None
    """The identity of the contact by which Clint could match it, if any."""
    lookup: AnyMapping[str, str] | None = None
    default: str | None = None

    @property
    def expressions(self) -> list[Expression]:
        pieces = self.source.pieces if isinstance(self.source, Template) else (self.source,)
        return [piece for piece in pieces if isinstance(piece, Expression)]


@dataclass(frozen=True, slots=True)
class Route:
    events: tuple[str, ...]
    send_to: str
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Case:
    name: str
    line: int
    given: Scalar | AnyMapping[str, Any]
    """The path of a sample, or the event itself."""
    set: AnyMapping[str, Any]
    fetched: AnyMapping[str, Scalar | AnyMapping[str, Any] | None]
    """By name: the path of a sample, the object itself, or None for one that does not exist."""
    filtered: bool = False
    dead: str = ""
    expect: AnyMapping[str, Scalar] = field(default_factory=dict)
    """The values as typed, each at the place of its key."""
    exactly: bool = False
    send_to: str = ""


@dataclass(frozen=True, slots=True)
class Mapping:
    """One automation: these events of this account, if these conditions hold, become this payload."""

    name: str
    path: str
    digest: str
    """SHA-256 of the text."""
    description: str
    enabled: bool
    account: str
    events: tuple[str, ...]
    installments: Literal["each", "first", "once"]
    filter: Condition | None
    fields: tuple[Field, ...]
    line: str
    stale: Literal["skip", "send"]
    send_to: str
    routes: tuple[Route, ...]
    verify: bool
    tests: tuple[Case, ...] = field(repr=False)
    filter_needs: frozenset[str]
    field_needs: frozenset[str]
    derived: frozenset[str]
    """The derived values that its expressions read."""

    def listens_to(self, event_name: str) -> bool:
        return covers(self.events, event_name)

    @property
    def event_names(self) -> tuple[str, ...]:
        """Return the events that the mapping listens to, families spelled out, also those the bridge does not know."""
        return tuple(name for name in all_names(self.events) if covers(self.events, name))

    def destination(self, event_name: str) -> str:
        for route in self.routes:
            if covers(route.events, event_name):
                return route.send_to
        return self.send_to

    @property
    def destinations(self) -> frozenset[str]:
        return frozenset({self.send_to, *(route.send_to for route in self.routes)})


def all_names(*patterns: Iterable[str]) -> tuple[str, ...]:
    """Return every event name that the bridge knows, and those of the patterns that it does not."""
    named = (name for some in patterns for name in some if not name.endswith("*"))
    return tuple(dict.fromkeys((*EVENTS, *named)))


def covers(patterns: Iterable[str], event_name: str) -> bool:
    """Say whether one of the names is the event's, or its family written with a star (`PAYMENT_*`)."""
    return any(
        event_name.startswith(pattern[:-1]) if pattern.endswith("*") else event_name == pattern for pattern in patterns
    )


@dataclass(frozen=True, slots=True)
class Setup:
    """The accounts and destinations that are set up, which a file is checked against."""

    accounts: frozenset[str] | None
    """None: every name counts as set up."""
    destinations: frozenset[str] | None
    root: Path | None = None
    """The directory of the mappings, which holds `samples/`."""
    reads_back: bool = True
    """Whether deals can be read back from Clint, which `verify` needs."""
    active: bool = False
    """Whether the text is active already: nonsense that it sends does not stop it."""


@dataclass(frozen=True, slots=True)
class ParseResult:
    path: str
    mapping: Mapping | None
    """None where it can't run."""
    findings: tuple[Finding, ...]
    text: str = ""
    """The text of the file, for the journal; empty where it could not be read."""
