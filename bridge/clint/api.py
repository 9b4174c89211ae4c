"""The client of the Clint API: reads and writes contacts and deals, reads origins, stages, users and fields.

Relied on (specs of clint-api.readme.io): the header `api-token`; updates are POSTs by id; a list of deals has the open
ones only unless it names a status. No request has an idempotency key, so a write whose answer is lost is `unknown`.

Unknown for real accounts [U]: whether filters by field find every deal, and how soon after a write; the shape of
`/v1/account/fields`; whether an update with a `fields` object keeps the fields that it does not name. Answers may lack
`value` and `updated_at`, and the keys of fields may be cut to 20 characters [P].
"""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from copy import copy
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote, urlsplit

import httpx

from bridge.clint.limiter import RATE_LIMIT, ApiLimiter
from bridge.clint.webhook import retry_after_s
from bridge.errors import ClintApiFailed, ClintFault, SettingsError
from bridge.http import HttpClient, TooLarge, why_unreached
from bridge.messages import N_
from bridge.redaction import redact
from bridge.redis_client import OptionalRedis

DEADLINE_S = 15.0
"""From the name's look-up to the last byte of the answer; the wait for a turn comes before."""
PATIENCE_S = 10.0
"""A request whose turn comes later ends as `busy`."""
BUSY_PAUSE_S = 1.0
"""After a 429 without `Retry-After`."""
CLOCK_TOLERANCE_MS = 2_000
"""`Date` has whole seconds; a smaller difference of the clocks counts as none."""
PAGE = 200
"""Rows of one request. Clint allows 1,000, but the answer could exceed the client's limit of bytes."""
MOST_PAGES = 50
NEWEST = 1_000
"""How many deals of each status a look at the newest ones reads."""
MOST_KEY = 20
"""Keys of fields were seen cut to this length [P]."""
STATUSES = ("OPEN", "WON", "LOST")
"""In this order a deal that is won or lost while its lists are read is seen in one of them."""
MOST_WORDS = 300
"""Characters of Clint's words in an error."""
_MOST_MASKED = 2_000
_TIMES = ("created_at", "updated_at", "updated_stage_at", "won_at", "lost_at")

MayStart = Callable[[], bool]
"""Called immediately before a write is sent, after its wait for a turn; where it returns False nothing is sent."""


@dataclass(frozen=True, slots=True)
class Deal:
    id: str
    origin_id: str
    stage_id: str
    stage: str
    """The stage's label; empty where Clint does not tell it."""
    status: str
    """OPEN, WON or LOST."""
    times_ms: Mapping[str, int] = field(default_factory=dict)
    """Clint's times of the deal by their names, converted to this machine's clock."""
    fields: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """The deal's value and its fields, by their keys."""
    contact_id: str = ""
    user_id: str = ""
    value: float | None = None
    """None where Clint does not tell it, which is not the same as 0."""

    def field(self, key: str) -> str:
        """Return the text of a field, whose key Clint may have cut; empty where there is none."""
        return _field(self.fields, key)


@dataclass(frozen=True, slots=True)
class Contact:
    id: str
    name: str = field(default="", repr=False)
    email: str = field(default="", repr=False)
    phone: str = field(default="", repr=False)
    """As +5548999999999; empty where Clint does not tell it."""
    organization: str = field(default="", repr=False)
    """The organization's name."""
    tags: frozenset[str] = frozenset()
    fields: Mapping[str, Any] = field(default_factory=dict, repr=False)
    created_ms: int | None = None

    def field(self, key: str) -> str:
        """Return the text of a field, whose key Clint may have cut; empty where there is none."""
        return _field(self.fields, key)


@dataclass(frozen=True, slots=True)
class Found:
    """What a search of deals over all statuses found."""

    deals: tuple[Deal, ...]
    """Oldest first."""
    missed: tuple[str, ...] = ()
    """Statuses whose lists failed: a deal that is not among `deals` may be there all the same."""
    error: ClintApiFailed | None = None
    """Why the last of them failed."""


@dataclass(frozen=True, slots=True)
class Stage:
    id: str
    label: str
    kind: str = ""
    """BASE, CUSTOM or CLOSING were seen [P]."""


@dataclass(frozen=True, slots=True)
class Origin:
    """A funnel of Clint."""

    id: str
    name: str
    stages: tuple[Stage, ...]
    """In their order in the funnel."""
    group: str = ""
    archived: bool = False


@dataclass(frozen=True, slots=True)
class User:
    """A person who works in Clint."""

    id: str
    email: str = field(repr=False)
    name: str = field(default="", repr=False)


class ClintApi:
    """The API of one Clint account; threads may share it.

    Every request raises ClintApiFailed, whose `kind` says what is wrong. No text of an error holds a token or personal
    data: of Clint's own words what was sent is masked.
    """

    def __init__(
        self,
        token: str,
        base_url: str,
        http: HttpClient,
        *,
        limiter: ApiLimiter | None = None,
        deadline_s: float = DEADLINE_S,
        patience_s: float = PATIENCE_S,
    ) -> None:
        """Without a limiter this process keeps to RATE_LIMIT by itself."""
        if not token.isascii() or not token.isprintable():
            raise SettingsError(["the token of Clint's API must be plain text, got other characters"])
        self.deadline_s = deadline_s
        """How long a request may take once it is sent."""
        self.answered_s = -math.inf
        """When a request of this process was last done, by the clock `time.monotonic`."""
        self._base_url = base_url.rstrip("/")
        self._headers = {"api-token": token, "Accept": "application/json"}
        self._http = http
        self._limiter = limiter or ApiLimiter(RATE_LIMIT, OptionalRedis(None), token)
        self._patience_s = patience_s
        self._pause: Callable[[], object] = lambda: None
        self._labels: dict[str, str] = {}
        self._ahead_ms = 0  # how far Clint's clock is ahead of this machine's

    def paced(self, pause: Callable[[], object]) -> ClintApi:
        """Return this client for work that can wait: `pause` is called before each of its requests."""
        other = copy(self)
        other._pause = pause
        return other

    # ------------------------------------------------------------ deals

    def deals(self, email: str = "", phone: str = "", changed_since_ms: int | None = None) -> list[Deal]:
        """Return the deals of the contact with this e-mail, else of the contact with this phone, newest change first.

        With a time, only those that changed since then.
        """
        since = {} if changed_since_ms is None else {"updated_at_start": self._moment(changed_since_ms)}
        for filters in ({"email": email}, {"phone": split_phone(phone)[1]}):
            if all(filters.values()):
                found = self._deals({**filters, **since})
                if found.error and not found.deals:
                    raise found.error
                if found.deals:
                    return sorted(found.deals, key=lambda deal: max(deal.times_ms.values(), default=0), reverse=True)
        return []

    def deal(self, deal_id: str) -> Deal | None:
        """Return a deal, None where Clint has none of that id."""
        body = self._object(_path("deals", deal_id))
        return None if body is None else _deal(body, self._ahead_ms)

    def deals_of(self, contact_id: str, origin_id: str) -> Found:
        """Return the deals of a contact in an origin, of every status and page."""
        found = self._deals({"contact_id": contact_id, "origin_id": origin_id})
        # Compared here too: a deal of another contact must never be taken for this one's.
        return _only(found, lambda deal: deal.contact_id in {"", contact_id} and deal.origin_id in {"", origin_id})

    def deals_with(self, key_field: str, key: str, origin_id: str) -> Found:
        """Return the deals of an origin whose field has this text, from the first page of each status.

        The filter by fields is documented, but whether and how soon it finds a deal is unknown [U]: an empty result is
        no proof that there is none. A Clint that refuses the filter counts as one that finds nothing.
        """
        try:
            found = self._deals({"origin_id": origin_id, f"fields[{key_field}]": key}, most_pages=1)
        except ClintApiFailed as error:
            if error.kind is not ClintFault.REFUSED:
                raise
            return Found(())
        return _only(found, lambda deal: deal.field(key_field) == key.strip() and deal.origin_id in {"", origin_id})

    def new_deals(self, origin_id: str, since_ms: int) -> Found:
        """Return the deals that were created in an origin since a time, at most NEWEST of each status."""
        since = {"origin_id": origin_id, "created_at_start": self._moment(since_ms)}
        found = self._deals(since, most_pages=NEWEST // PAGE)
        return _only(found, lambda deal: deal.origin_id in {"", origin_id})

    def create_deal(
        self,
        *,
        origin_id: str,
        contact_id: str = "",
        stage_id: str = "",
        user_id: str = "",
        value: float | None = None,
        name: str = "",
        fields: Mapping[str, str] | None = None,
        may_start: MayStart = lambda: True,
    ) -> str:
        """Create a deal and return its id; empty values are left out. Clint makes it OPEN, a new one for each request.

        `name` stands beside the contact's e-mail and phone in Clint's document, with the example "Contact name":
        whether it names the deal or its contact is unknown [U].
        """
        ids = {"origin_id": origin_id, "contact_id": contact_id, "stage_id": stage_id, "user_id": user_id}
        body = _given({**ids, "value": value, "name": name, "fields": _given(fields)})
        return self._create("/v1/deals", body, may_start)

    def update_deal(
        self,
        deal_id: str,
        *,
        stage_id: str = "",
        status: str = "",
        user_id: str = "",
        value: float | None = None,
        name: str = "",
        fields: Mapping[str, str] | None = None,
        may_start: MayStart = lambda: True,
    ) -> None:
        """Set these values of a deal, the same again where it is repeated; empty ones are left as they are.

        `status` is OPEN, WON or LOST in any case. Whether fields that are not named stay is unknown [U], so a caller
        names the one with the key each time it names any. About `name` see `create_deal`.
        """
        given = {"stage_id": stage_id, "status": status.upper(), "user_id": user_id, "value": value, "name": name}
        body = _given({**given, "fields": _given(fields)})
        self._update(_path("deals", deal_id), body, may_start)

    def remove_deal(self, deal_id: str) -> None:
        """Remove a deal; one that is gone already is fine."""
        self._remove(_path("deals", deal_id))

    # ------------------------------------------------------------ contacts

    def contact(self, contact_id: str) -> Contact | None:
        """Return a contact, None where Clint has none of that id."""
        body = self._object(_path("contacts", contact_id))
        return None if body is None else _contact(body, self._ahead_ms)

    def contacts(self, *, email: str = "", phone: str = "") -> list[Contact]:
        """Return the contacts with this e-mail and this phone, as far as they are given, oldest first.

        A contact that Clint lists with another e-mail or phone, or without it, is left out: it is another person's.
        """
        filters = {"email": email.strip(), "phone": split_phone(phone)[1]}
        if not any(filters.values()):
            return []
        items = list(self._listed("/v1/contacts", {name: value for name, value in filters.items() if value}))
        ahead_ms = self._ahead_ms
        found = [_contact(item, ahead_ms) for item in items]
        if email:
            found = [one for one in found if _same_email(one.email, email)]
        if phone:
            found = [one for one in found if split_phone(one.phone) == split_phone(phone)]
        return sorted(found, key=lambda one: (one.created_ms is None, one.created_ms or 0, one.id))

    def create_contact(
        self,
        *,
        name: str = "",
        email: str = "",
        phone: str = "",
        fields: Mapping[str, str] | None = None,
        organization: Mapping[str, str] | None = None,
        may_start: MayStart = lambda: True,
    ) -> str:
        """Create a contact and return its id; empty values are left out.

        `organization` has the organization's `name` and its fields.
        """
        body = _contact_body(name, email, phone, fields, organization)
        return self._create("/v1/contacts", body, may_start)

    def update_contact(
        self,
        contact_id: str,
        *,
        name: str = "",
        email: str = "",
        phone: str = "",
        fields: Mapping[str, str] | None = None,
        organization: Mapping[str, str] | None = None,
        may_start: MayStart = lambda: True,
    ) -> None:
        """Set these values of a contact; empty ones are not sent, so they blank nothing."""
        body = _contact_body(name, email, phone, fields, organization)
        self._update(_path("contacts", contact_id), body, may_start)

    def add_tags(self, contact_id: str, names: Sequence[str], *, may_start: MayStart = lambda: True) -> None:
        """Add tags to a contact by their names, as the document has it; a repeat does no harm."""
        try:
            self._update(f"{_path('contacts', contact_id)}/tags", list(names), may_start)
        except ClintApiFailed as error:
            if error.kind is not ClintFault.REFUSED:
                raise
            # Public code sends `tag_ids` instead [P]; which of the two an account takes is unknown [U].
            what = N_("the Clint API refused the list of tag names, got {status}")
            hint = N_("take the tags out of the mapping; Clint's document asks for this form, and no other is tried")
            words = error.facts["words"]
            raise ClintApiFailed(
                what, kind=error.kind, status=error.status, where=error.where, hint=hint, words=words
            ) from None

    def remove_contact(self, contact_id: str) -> None:
        """Remove a contact; one that is gone already is fine."""
        self._remove(_path("contacts", contact_id))

    # ------------------------------------------------------------ the account

    def origins(self) -> list[Origin]:
        """Return the origins with their stages, archived ones too."""
        return [_origin(item) for item in self._listed("/v1/origins")]

    def tags(self) -> list[str]:
        """Return the names of the account's tags."""
        return [_text(item, "name") for item in self._listed("/v1/tags")]

    def users(self) -> list[User]:
        """Return the people who work in Clint."""
        return [_user(item) for item in self._listed("/v1/users")]

    def lost_reasons(self) -> dict[str, str]:
        """Return the reasons for lost deals, names by ids."""
        return {str(item.get("id") or ""): str(item.get("name") or "") for item in self._listed("/v1/lost-status")}

    def fields(self) -> dict[str, dict[str, str]]:
        """Return the types of the account's own fields by their keys, under `deal`, `contact` and `organization`."""
        return self.account_fields()[0]

    def account_fields(self) -> tuple[dict[str, dict[str, str]], bool]:
        """Return `fields`, and whether Clint named their keys, so that a key that is not there is one it lacks.

        The document's shape has labels [U], and an answer without any field may be of a shape that is not known.
        """
        answer = self._request("GET", "/v1/account/fields")
        data = answer.get("data") if isinstance(answer, dict) else None
        if not isinstance(data, list | dict):
            raise _unreadable("GET /v1/account/fields", 200, N_("the Clint API must answer with a list, got {status}"))
        return _account_fields(data if isinstance(data, list) else [data])

    def stage(self, deal: Deal) -> str:
        """Return the label of the deal's stage, else its id."""
        if deal.stage:
            return deal.stage
        if deal.stage_id not in self._labels:
            self._labels.update({stage.id: stage.label for origin in self.origins() for stage in origin.stages})
        return self._labels.get(deal.stage_id) or deal.stage_id

    # ------------------------------------------------------------ requests

    def _moment(self, ms: int) -> str:
        """Return a time of this machine's clock as Clint's clock has it."""
        return datetime.fromtimestamp((ms + self._ahead_ms) / 1000, UTC).isoformat(timespec="microseconds")

    def _deals(self, filters: Mapping[str, str], most_pages: int | None = None) -> Found:
        found: dict[str, dict[str, Any]] = {}
        missed: list[str] = []
        failed: ClintApiFailed | None = None
        for status in STATUSES:
            try:
                for item in self._listed("/v1/deals", {**filters, "status": status}, most_pages):
                    found[_text(item, "id")] = item  # of a deal that moved meanwhile the later list counts
            except ClintApiFailed as error:
                if error.kind is not ClintFault.FAILED:
                    raise
                failed = error  # one status that fails, as WON does at times, must not hide the deals of another
                missed.append(status)
        ahead_ms = self._ahead_ms  # one for all, so that their times can be compared
        deals = [_deal(item, ahead_ms) for item in found.values()]
        deals.sort(key=lambda deal: (deal.times_ms.get("created_at", 0), deal.id))
        return Found(tuple(deals), tuple(missed), failed)

    def _listed(
        self, path: str, params: Mapping[str, str] | None = None, most_pages: int | None = None
    ) -> Iterator[dict[str, Any]]:
        """Give the objects of a list, as far as `most_pages`; without, one of more than MOST_PAGES is an error."""
        for page in range(1, MOST_PAGES + 1):
            turned = {"page": page} if page > 1 else {}
            answer = self._request("GET", path, params={**(params or {}), "limit": PAGE, **turned})
            data = answer.get("data") if isinstance(answer, dict) else None
            if not isinstance(data, list):
                raise _unreadable(f"GET {path}", 200, N_("the Clint API must answer with a list, got {status}"))
            yield from (item for item in data if isinstance(item, dict))
            if page == most_pages or not data or not _has_next(answer, len(data)):
                return
        what = N_("a list of the Clint API has more than {pages} pages")
        raise ClintApiFailed(what, where=f"GET {path}", pages=MOST_PAGES)

    def _object(self, path: str) -> dict[str, Any] | None:
        try:
            answer = self._request("GET", path)
        except ClintApiFailed as error:
            if error.kind is ClintFault.GONE:
                return None
            raise
        data = answer.get("data") if isinstance(answer, dict) else None
        if not isinstance(data, dict) or not data.get("id"):
            # Not the same as "there is none", after which another one would be created.
            raise _unreadable(f"GET {path}", 200, N_("the Clint API must answer with an object, got {status}"))
        return data

    def _create(self, path: str, body: Mapping[str, Any], may_start: MayStart) -> str:
        answer = self._request("POST", path, body=body, may_start=may_start)
        data = answer if isinstance(answer, dict) else {}
        inner = data.get("data")
        made = data.get("id") or (inner.get("id") if isinstance(inner, dict) else None)
        if not made:
            what = N_("the Clint API must answer with an id; whether it was created is not known")
            raise ClintApiFailed(what, kind=ClintFault.UNKNOWN, where=f"POST {path}")
        return str(made)

    def _update(self, path: str, body: Mapping[str, Any] | Sequence[str], may_start: MayStart) -> None:
        if body:
            self._request("POST", path, body=body, may_start=may_start)

    def _remove(self, path: str) -> None:
        try:
            self._request("DELETE", path)
        except ClintApiFailed as error:
            if error.kind is not ClintFault.GONE:
                raise

    def _request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str | int] | None = None,
        body: Any = None,
        may_start: MayStart = lambda: True,
    ) -> Any:
        """Return the JSON of a 2xx answer, None where it has none."""
        where = f"{method} {path}"
        self._pause()
        self._limiter.wait_for_turn(self._patience_s)
        if not may_start():
            raise ClintApiFailed(N_("the request was not sent"), kind=ClintFault.NOT_STARTED, where=where)
        lost = ClintFault.FAILED if method == "GET" else ClintFault.UNKNOWN
        try:
            answer = self._http.request(
                method,
                f"{self._base_url}{path}",
                params=dict(params) if params else None,
                json=body,
                headers=self._headers,
                deadline_s=self.deadline_s,
            )
        except TooLarge as error:
            raise ClintApiFailed("{error}", kind=lost, where=where, error=str(error)) from None
        except httpx.HTTPError as error:
            # The error's text may hold the address, with a person's e-mail.
            not_sent = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.UnsupportedProtocol)
            kind = ClintFault.FAILED if not_sent else lost
            host, why = urlsplit(self._base_url).hostname, why_unreached(error)
            raise ClintApiFailed(_UNREACHED[kind], kind=kind, where=where, host=host, why=why) from None
        self._compare_clocks(answer.headers.get("Date", ""))
        if 200 <= answer.status_code < 300:
            self.answered_s = time.monotonic()
            try:
                return json.loads(answer.content)
            except (ValueError, RecursionError):
                return None
        raise self._refusal(answer, where, lost, [params, body])

    def _refusal(self, answer: httpx.Response, where: str, lost: ClintFault, sent: object) -> ClintApiFailed:
        status = answer.status_code
        kind = _KINDS.get(status) or (ClintFault.REFUSED if 400 <= status < 500 else lost)
        wait_s = None
        if kind is ClintFault.BUSY or status >= 500:
            wait_s = retry_after_s(answer.headers, round(time.time() * 1000))
            if wait_s or kind is ClintFault.BUSY:
                self._limiter.pause(wait_s or BUSY_PAUSE_S)
        elif status in _NOT_HANDLED:
            kind = lost
        what, hint = _TEXTS[kind]
        words = _words(answer.content, sent) if kind is ClintFault.REFUSED else ""
        if words:
            what = N_("the Clint API refused the request, got {status}: {words}")
        return ClintApiFailed(what, kind=kind, status=status, retry_after_s=wait_s, where=where, hint=hint, words=words)

    def _compare_clocks(self, date: str) -> None:
        with suppress(ValueError, OverflowError):
            ahead_ms = round((parsedate_to_datetime(date).timestamp() - time.time()) * 1000)
            self._ahead_ms = ahead_ms if abs(ahead_ms) > CLOCK_TOLERANCE_MS else 0


_KINDS = {
    401: ClintFault.TOKEN,
    403: ClintFault.PLAN,
    404: ClintFault.GONE,
    410: ClintFault.GONE,
    429: ClintFault.BUSY,
}
_NOT_HANDLED = frozenset({408, 425})
"""4xx that say nothing about the request itself."""

_UNREACHED = {
    ClintFault.FAILED: N_("the Clint API at {host} could not be reached: {why}"),
    ClintFault.UNKNOWN: N_("the answer of the Clint API at {host} was lost: {why}; whether it was done is not known"),
}

NEW_TOKEN = N_(
    "make a new token in Clint and run: bridge clint set-token; where CLINT_API_TOKEN is set, put it there and start "
    "the bridge again"
)
_TEXTS: dict[ClintFault, tuple[str, str | None]] = {
    ClintFault.TOKEN: (
        N_("the Clint API refused the token, got {status}"),
        NEW_TOKEN,
    ),
    ClintFault.PLAN: (
        N_("the Clint API does not allow the request, got {status}"),
        N_("Clint's API needs the Elite plan; check the plan and what the token may do"),
    ),
    ClintFault.GONE: (
        N_("Clint does not have what the request names, got {status}"),
        N_("check in Clint whether it was removed, and that CLINT_API_URL is right"),
    ),
    ClintFault.REFUSED: (
        N_("the Clint API refused the request, got {status}"),
        N_("compare the mapping's fields and their types with those of Clint"),
    ),
    ClintFault.BUSY: (N_("the Clint API asked the bridge to slow down, got {status}"), None),
    ClintFault.FAILED: (N_("the Clint API failed, got {status}"), None),
    ClintFault.UNKNOWN: (N_("the Clint API failed, got {status}; whether it was done is not known"), None),
}


def split_phone(phone: str) -> tuple[str, str]:
    """Return the country code and the number of a phone as the API takes them; without a code it is a Brazilian one.

    >>> split_phone("+55 11 98888-7777"), split_phone("5511988887777"), split_phone("(11) 98888-7777")
    (('+55', '11988887777'), ('+55', '11988887777'), ('+55', '11988887777'))
    >>> split_phone("+1 415 555 0100"), split_phone("")
    (('+1', '4155550100'), ('', ''))
    """
    import phonenumbers  # a large module, which most commands do without

    try:
        number = phonenumbers.parse(phone, "BR")
    except phonenumbers.NumberParseException:
        return "", re.sub(r"\D", "", phone, flags=re.ASCII)
    return f"+{number.country_code}", phonenumbers.national_significant_number(number)


def same_key(one: str, other: str) -> bool:
    """Return whether two keys of fields are the same one, where Clint may have cut either.

    >>> same_key("quantas_horas_por_dia", "quantas_horas_por_di"), same_key("codigo", "codigo_asaas")
    (True, False)
    """
    return one[:MOST_KEY] == other[:MOST_KEY]


def _field(fields: Mapping[str, Any], key: str) -> str:
    value = fields.get(key)
    if value is None:
        value = next((value for name, value in fields.items() if same_key(name, key)), None)
    return "" if value is None else str(value).strip()


def _path(kind: str, id_: str) -> str:
    if not id_:
        # Without an id an update would be the request that creates.
        raise ValueError(f"no id of one of the {kind}")
    return f"/v1/{kind}/{quote(id_, safe='')}"


def _given(values: Mapping[str, Any] | None) -> dict[str, Any]:
    return {name: value for name, value in (values or {}).items() if value not in (None, "", {})}


def _contact_body(
    name: str,
    email: str,
    phone: str,
    fields: Mapping[str, str] | None,
    organization: Mapping[str, str] | None,
) -> dict[str, Any]:
    code, number = split_phone(phone)
    own = _given({**(fields or {}), "organization": _given(organization)})
    return _given({"name": name, "email": email, "ddi": code, "phone": number, "fields": own})


def _same_email(one: str, other: str) -> bool:
    return one.strip().casefold() == other.strip().casefold()


def _only(found: Found, is_wanted: Callable[[Deal], bool]) -> Found:
    return Found(tuple(deal for deal in found.deals if is_wanted(deal)), found.missed, found.error)


def _has_next(answer: Mapping[str, Any], rows: int) -> bool:
    told = answer.get("hasNext")
    return rows >= PAGE if told is None else str(told).lower() == "true"


def _unreadable(where: str, status: int, what: str) -> ClintApiFailed:
    return ClintApiFailed(what, status=status, where=where)


def _words(content: bytes, sent: object) -> str:
    """Return what Clint says about a request that it refuses, without anything that the request held."""
    try:
        answer = json.loads(content)
    except (ValueError, RecursionError):
        return ""
    told = [answer.get(name) for name in ("error", "message")] if isinstance(answer, dict) else []
    text = next((text for text in told if isinstance(text, str) and text), json.dumps(answer, ensure_ascii=False))
    if len(text) > _MOST_MASKED:
        text = text[:_MOST_MASKED].rpartition(" ")[0]  # half a word would not be masked
    for value in sorted(_sent_texts(sent), key=len, reverse=True):
        text = re.sub(rf"(?<!\w){re.escape(value)}(?!\w)", "[value]", text, flags=re.IGNORECASE)
    return redact(text.replace("\0", ""))[:MOST_WORDS]


def _sent_texts(sent: object, name: str = "") -> Iterator[str]:
    if isinstance(sent, Mapping):
        for key, value in sent.items():
            yield from _sent_texts(value, key)
    elif isinstance(sent, list | tuple):
        for value in sent:
            yield from _sent_texts(value, name)
    elif isinstance(sent, str | float) and not name.endswith("_id") and name not in {"status", "limit", "page"}:
        text = str(sent).strip()
        # Clint may repeat a part of what it refuses, such as a first name, or the request as it came.
        for word in {text, *text.split()}:
            if len(word) > 2:
                yield from {word, json.dumps(word)[1:-1], quote(word, safe="")}


def _deal(item: Mapping[str, Any], ahead_ms: int) -> Deal:
    times = {name: moment for name in _TIMES if (moment := _moment_ms(item.get(name))) is not None}
    fields = item.get("fields")
    return Deal(
        **{name: _text(item, name) for name in ("id", "origin_id", "stage_id", "stage", "status")},
        times_ms={name: moment - ahead_ms for name, moment in times.items()},
        fields={"value": item.get("value"), **(fields if isinstance(fields, dict) else {})},
        contact_id=_text(item.get("contact"), "id"),
        user_id=_text(item.get("user"), "id"),
        value=_number(item.get("value")),
    )


def _contact(item: Mapping[str, Any], ahead_ms: int) -> Contact:
    tags, fields, created_ms = item.get("tags"), item.get("fields"), _moment_ms(item.get("created_at"))
    organization = item.get("organization")
    return Contact(
        **{name: _text(item, name) for name in ("id", "name", "email")},
        phone=_text(item, "fullPhone") or _text(item, "phone"),
        organization=_text(organization, "name") if isinstance(organization, dict) else _text(item, "organization"),
        tags=frozenset(_text(tag, "name") for tag in (tags if isinstance(tags, list) else [])),
        fields=fields if isinstance(fields, dict) else {},
        created_ms=None if created_ms is None else created_ms - ahead_ms,
    )


def _origin(item: Mapping[str, Any]) -> Origin:
    found = item.get("stages")
    stages = [stage for stage in (found if isinstance(found, list) else []) if isinstance(stage, dict)]
    stages.sort(key=lambda stage: _number(stage.get("order")) or 0.0)
    return Origin(
        _text(item, "id"),
        _text(item, "name"),
        tuple(Stage(_text(stage, "id"), _text(stage, "label"), _text(stage, "type")) for stage in stages),
        group=_text(item.get("group"), "name"),
        archived=bool(item.get("archived_at")),
    )


def _user(item: Mapping[str, Any]) -> User:
    name = f"{_text(item, 'first_name')} {_text(item, 'last_name')}".strip()
    return User(_text(item, "id"), _text(item, "email"), name)


def _account_fields(items: Sequence[Any]) -> tuple[dict[str, dict[str, str]], bool]:
    """Read both shapes: fields by their keys [P], and one field with its label, which the document shows [U]."""
    has_labels = False
    found: dict[str, dict[str, str]] = {"deal": {}, "contact": {}, "organization": {}}
    for item in items:
        groups = item.get("fields") if isinstance(item, dict) else None
        for group, fields in (groups if isinstance(groups, dict) else {}).items():
            known = found.get(str(group).lower())
            if known is None or not isinstance(fields, dict):
                continue
            if isinstance(fields.get("type"), str):
                fields = {_text(fields, "label"): fields}
                has_labels = True
            known.update({key: _text(one, "type") for key, one in fields.items() if key and isinstance(one, dict)})
    return found, any(found.values()) and not has_labels


def _text(item: object, name: str) -> str:
    return str(item.get(name) or "") if isinstance(item, Mapping) else ""


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None


def _moment_ms(value: object) -> int | None:
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return round(moment.replace(tzinfo=moment.tzinfo or UTC).timestamp() * 1000)
