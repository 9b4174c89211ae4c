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
from bridge.mapping.values import folded

FETCHABLE = frozenset({"customer", "installment", "subscription", "payment"})
"""The objects that are fetched from Asaas when an expression names them."""
GROUPS = ("contact", "organization", "deal")
"""The three tabs of Clint's mapping screen."""
FUNNEL = "funnel"
"""The key of a payload that holds what a deal by the API needs beside the fields; no field has this name."""


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
    native: str = ""
    """The property of Clint's own that it is: email, phone, name or value; empty for a field of the account."""
    stated: bool = False
    """Whether `is:` says so, and not the key's own name."""
    lookup: AnyMapping[str, str] | None = None
    default: str | None = None

    @property
    def identifies(self) -> Literal["email", "phone"] | None:
        """The identity of the contact by which Clint could match it, if any."""
        kinds: tuple[Literal["email", "phone"], ...] = ("email", "phone")
        return next((kind for kind in kinds if self.group == "contact" and self.native == kind), None)

    @property
    def outputs(self) -> tuple[str, ...]:
        """The fixed texts that it may give, in the order of the file."""
        texts = (self.lookup or {}).values()
        fixed = [self.source.text] if isinstance(self.source, Template) and not self.expressions else []
        return tuple(dict.fromkeys(one for one in (*fixed, *texts, self.default or "") if one.strip()))

    @property
    def expressions(self) -> list[Expression]:
        pieces = self.source.pieces if isinstance(self.source, Template) else (self.source,)
        return [piece for piece in pieces if isinstance(piece, Expression)]


@dataclass(frozen=True, slots=True)
class Funnel:
    """What a destination by Clint's API makes of an event: which deal, and its place in the funnel."""

    one_deal_per: Field | str = "charge"
    """charge, installment, subscription or customer, or what gives the key."""
    origin: str = ""
    """Name or id of an origin of Clint; empty for the destination's own."""
    stage: Field | None = None
    """None, or a field that gives nothing: the stage stays as it is."""
    status: Field | None = None
    """Gives open, won or lost."""
    value: Field | None = None
    user: Field | None = None
    """Gives the e-mail of a user of Clint."""
    tags: tuple[Field, ...] = ()
    """Added to the contact, never removed."""
    moved_by_person: Literal["keep", "override"] = "keep"
    removed: Literal["leave", "make_again"] = "leave"
    find_contact_by: tuple[str, ...] = ("email", "phone")
    """In this order."""
    key_field: str = "codigo_asaas"
    """The deal's field that carries the key."""

    @property
    def values(self) -> dict[str, Field | None]:
        """The values of a deal by name; None for those that the file does not have."""
        return {"stage": self.stage, "status": self.status, "value": self.value, "user": self.user}

    @property
    def fields(self) -> tuple[Field, ...]:
        """The values and tags that the file has, with the keys `funnel.stage` and so on."""
        return (*(one for one in self.values.values() if one), *self.tags)

    @property
    def expressions(self) -> list[Expression]:
        key = () if isinstance(self.one_deal_per, str) else (self.one_deal_per,)
        return [expression for one in (*key, *self.fields) for expression in one.expressions]


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
    funnel: Funnel = Funnel()
    """Has no effect where the destination is a webhook."""
    tells_funnel: bool = False
    """Whether the file says anything about deals by the API (`one_deal_per` or `funnel`)."""

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
class ClintDirectory:
    """What an account of Clint has, as its API tells it: the names that lint and completion know."""

    origins: AnyMapping[str, tuple[str, tuple[tuple[str, str], ...]]] = field(default_factory=dict)
    """By id: the name, and the id and label of each stage in the order of the funnel."""
    users: AnyMapping[str, str] = field(default_factory=dict)
    """The id by e-mail."""
    fields: AnyMapping[str, AnyMapping[str, str]] = field(default_factory=dict)
    """The type by key, by group (contact, organization, deal)."""
    lost_reasons: AnyMapping[str, str] = field(default_factory=dict)
    """The name by id."""

    def has_stage(self, origin: str, name: str) -> bool:
        """Say whether a stage of that name or id is in the origin of that id."""
        stages = self.origins[origin][1]
        return any(name.strip() == id_ or folded(name) == folded(label) for id_, label in stages)

    def named_origins(self, name: str) -> list[str]:
        """Return the ids of the origins that a name or an id means: none, one, or several of the same name."""
        if name.strip() in self.origins:
            return [name.strip()]
        exact = [id_ for id_, (label, _) in self.origins.items() if label == name]
        return exact or [id_ for id_, (label, _) in self.origins.items() if folded(label) == folded(name)]


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
    api: AnyMapping[str, str] = field(default_factory=dict)
    """The destinations by Clint's API, each with the name or id of its origin; all others are webhooks."""
    clint: ClintDirectory | None = None
    """None: the names of origins, stages, users and fields are not known, so they are not checked."""

    def makes_deal(self, mapping: Mapping, event_name: str) -> bool:
        """Say whether an event goes to a destination by the API.

        Where the destination is not known, a mapping that speaks of deals is meant for one.
        """
        destination = mapping.destination(event_name)
        is_webhook = destination in (self.destinations or ()) and destination not in self.api
        return destination in self.api or (mapping.tells_funnel and not is_webhook)


@dataclass(frozen=True, slots=True)
class ParseResult:
    path: str
    mapping: Mapping | None
    """None where it can't run."""
    findings: tuple[Finding, ...]
    text: str = ""
    """The text of the file, for the journal; empty where it could not be read."""
