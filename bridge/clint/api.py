"""Reads deals and stages back by the Clint API; changes nothing there.

Relied on (specs of clint-api.readme.io): the header `api-token`; `GET /v1/deals` filtered by e-mail or phone and by
`updated_at_start`, which lists open deals only unless a status is named; `GET /v1/origins` with the label of each
stage. No limit of requests is published, so it asks twice a second at most and honours `Retry-After`. `value` and
`updated_at` were seen in answers, but are in no document: they may be missing. A token or a person's data never gets
into a text. An error that a later try would only repeat carries what mends it; one that may pass carries nothing.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from bridge.clint.webhook import retry_after_s
from bridge.errors import ClintApiFailed, SettingsError
from bridge.http import HttpClient, TooLarge

STATUSES = ("OPEN", "WON", "LOST")
EVERY_S = 0.5
DEADLINE_S = 15.0
LONGEST_WAIT_S = 60.0
_CLOCKS_MS = 2_000
"""Clocks that are further apart are taken for wrong; `Date` has whole seconds."""
_TIMES = ("created_at", "updated_at", "updated_stage_at", "won_at", "lost_at")


@dataclass(frozen=True, slots=True)
class Deal:
    """A deal as Clint shows it."""

    id: str
    origin_id: str
    stage_id: str
    stage: str
    """The stage's label; empty where Clint does not say."""
    status: str
    times_ms: Mapping[str, int] = field(default_factory=dict)
    """The moments that Clint names, by its names for them and this machine's clock."""
    fields: Mapping[str, Any] = field(default_factory=dict)
    """Its own value and its fields, by their keys."""


class ClintApi:
    """The API of one Clint account; threads may share it."""

    def __init__(
        self,
        token: str,
        base_url: str,
        http: HttpClient,
        *,
        every_s: float = EVERY_S,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        if not token.isascii() or not token.isprintable():
            raise SettingsError(["CLINT_API_TOKEN must be plain text, got other characters"])
        self._base_url = base_url.rstrip("/")
        self._headers = {
            "api-token": token,
            "Accept": "application/json",
        }
        self._http = http
        self._every_s = every_s
        self._sleep = sleep
        self._lock = threading.Lock()
        self._next_s = 0.0
        self._labels: dict[str, str] = {}
        self._ahead_ms = 0
        """How far Clint's clock is before this machine's."""

    def deals(self, email: str = "", phone: str = "", changed_since_ms: int | None = None) -> list[Deal]:
        """Return the deals of the contact with this e-mail, else of the one with this phone, newest change first.

        With a time, only those that Clint says were changed since then.
        """
        since = {}
        if changed_since_ms is not None:
            moment = datetime.fromtimestamp((changed_since_ms + self._ahead_ms) / 1000, UTC)
            since = {"updated_at_start": moment.isoformat(timespec="microseconds")}
        for filters in ({"email": email}, {"phone": local_phone(phone)}):
            if all(filters.values()):
                found = self._deals({**filters, **since})
                if found:
                    return sorted(found, key=lambda deal: max(deal.times_ms.values(), default=0), reverse=True)
        return []

    def stage(self, deal: Deal) -> str:
        """Return the label of the deal's stage, else its id."""
        if deal.stage:
            return deal.stage
        if deal.stage_id not in self._labels:
            for origin in self._listed("/v1/origins", {"limit": "1000"}):
                stages = origin.get("stages")
                for stage in stages if isinstance(stages, list) else []:
                    self._labels[str(stage.get("id"))] = str(stage.get("label") or "")
        return self._labels.get(deal.stage_id) or deal.stage_id

    def _deals(self, filters: Mapping[str, str]) -> list[Deal]:
        found: list[Deal] = []
        failed: ClintApiFailed | None = None
        for status in STATUSES:
            try:
                items = self._listed("/v1/deals", {**filters, "status": status, "limit": "200"})
                found += (_deal(item, self._ahead_ms) for item in items)
            except ClintApiFailed as error:
                if error.hint:
                    raise
                # One status that fails (WON has been seen to) must not hide what another one shows.
                failed = error
        if failed is not None and not found:
            raise failed
        return found

    def _listed(self, path: str, params: Mapping[str, str]) -> list[dict[str, Any]]:
        where = f"GET {path}"
        status, headers, body = self._ask(path, params, where)
        if status in {401, 403}:
            raise ClintApiFailed(
                f"the Clint API refused the token, got {status}",
                where=where,
                hint="look at CLINT_API_TOKEN; Clint's API needs the Elite plan",
            )
        if status == 429 or status >= 500:
            self._wait(min(retry_after_s(headers, round(time.time() * 1000)) or 0.0, LONGEST_WAIT_S))
        try:
            data = json.loads(body)["data"] if status == 200 else None
        except (ValueError, KeyError, TypeError, RecursionError):
            data = None
        if not isinstance(data, list):
            raise ClintApiFailed(f"the Clint API must answer with a list, got {status}", where=where)
        return [item for item in data if isinstance(item, dict)]

    def _ask(self, path: str, params: Mapping[str, str], where: str) -> tuple[int, httpx.Headers, bytes]:
        self._take_turn()
        try:
            answer = self._http.request(
                "GET", f"{self._base_url}{path}", params=dict(params), headers=self._headers, deadline_s=DEADLINE_S
            )
            self._set_clock(answer.headers.get("Date", ""))
            return answer.status_code, answer.headers, answer.content
        except TooLarge as error:
            raise ClintApiFailed(str(error), where=where) from None
        except httpx.HTTPError as error:
            got = type(error).__name__  # the error's text may carry the address with a person's e-mail
            raise ClintApiFailed(f"the Clint API could not be reached, got {got}", where=where) from None

    def _set_clock(self, date: str) -> None:
        try:
            ahead_ms = round((parsedate_to_datetime(date).timestamp() - time.time()) * 1000)
        except (ValueError, OverflowError):
            return
        self._ahead_ms = ahead_ms if abs(ahead_ms) > _CLOCKS_MS else 0

    def _take_turn(self) -> None:
        with self._lock:
            turn_s = max(self._next_s, time.monotonic())
            self._next_s = turn_s + self._every_s
        self._sleep(max(0.0, turn_s - time.monotonic()))

    def _wait(self, wait_s: float) -> None:
        with self._lock:
            self._next_s = max(self._next_s, time.monotonic() + wait_s)


def local_phone(phone: str) -> str:
    """Return a phone's digits without the country code, as the filter of the API takes them.

    >>> local_phone("+55 11 98888-7777"), local_phone("")
    ('11988887777', '')
    """
    digits = "".join(character for character in phone if character in "0123456789")
    return digits[2:] if len(digits) >= 12 and digits.startswith("55") else digits


def _deal(item: Mapping[str, Any], ahead_ms: int) -> Deal:
    times = {name: moment for name in _TIMES if (moment := _moment_ms(item.get(name))) is not None}
    fields = item.get("fields")
    return Deal(
        id=str(item.get("id") or ""),
        origin_id=str(item.get("origin_id") or ""),
        stage_id=str(item.get("stage_id") or ""),
        stage=str(item.get("stage") or ""),
        status=str(item.get("status") or ""),
        times_ms={name: moment - ahead_ms for name, moment in times.items()},
        fields={"value": item.get("value"), **(fields if isinstance(fields, dict) else {})},
    )


def _moment_ms(value: object) -> int | None:
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return round(moment.replace(tzinfo=moment.tzinfo or UTC).timestamp() * 1000)
