"""Reads deals and stages by the Clint API; it changes nothing there.

Relied on (specs of clint-api.readme.io): the header `api-token`; `GET /v1/deals` filtered by e-mail or phone and by
`updated_at_start`, which lists open deals only unless a status is named; `GET /v1/origins` with stage labels. Answers
have `value` and `updated_at`, which no document names: both may be missing. An error with a hint is lasting.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import httpx

from bridge.clint.webhook import retry_after_s
from bridge.errors import ClintApiFailed, SettingsError
from bridge.http import HttpClient, TooLarge, why_unreached
from bridge.messages import N_

REQUEST_EVERY_S = 0.5
"""Clint publishes no limit of requests."""
DEADLINE_S = 15.0
RETRY_AFTER_CAP_S = 60.0
CLOCK_TOLERANCE_MS = 2_000
"""`Date` has whole seconds; a smaller difference of the clocks counts as none."""
_TIMES = ("created_at", "updated_at", "updated_stage_at", "won_at", "lost_at")


@dataclass(frozen=True, slots=True)
class Deal:
    id: str
    origin_id: str
    stage_id: str
    stage: str
    """The stage's label; empty where Clint does not tell it."""
    status: str
    times_ms: Mapping[str, int] = field(default_factory=dict)
    """Clint's times of the deal by their names, converted to this machine's clock."""
    fields: Mapping[str, Any] = field(default_factory=dict)
    """The deal's value and its fields, by their keys."""


class ClintApi:
    """The API of one Clint account; threads may share it."""

    def __init__(
        self,
        token: str,
        base_url: str,
        http: HttpClient,
        *,
        every_s: float = REQUEST_EVERY_S,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        if not token.isascii() or not token.isprintable():
            raise SettingsError(["CLINT_API_TOKEN must be plain text, got other characters"])
        self._base_url = base_url.rstrip("/")
        self._headers = {"api-token": token, "Accept": "application/json"}
        self._http = http
        self._every_s = every_s
        self._sleep = sleep
        self._lock = threading.Lock()
        self._next_s = 0.0
        self._labels: dict[str, str] = {}
        self._ahead_ms = 0  # how far Clint's clock is ahead of this machine's

    def deals(self, email: str = "", phone: str = "", changed_since_ms: int | None = None) -> list[Deal]:
        """Return the deals of the contact with this e-mail, else of the contact with this phone, newest change first.

        With a time, only those that changed since then. Raises ClintApiFailed.
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
        for status in ("OPEN", "WON", "LOST"):
            try:
                items = self._listed("/v1/deals", {**filters, "status": status, "limit": "200"})
                found += (_deal(item, self._ahead_ms) for item in items)
            except ClintApiFailed as error:
                if error.hint:
                    raise
                failed = error  # one status that fails, as WON does at times, must not hide the deals of another
        if failed is not None and not found:
            raise failed
        return found

    def _listed(self, path: str, params: Mapping[str, str]) -> list[dict[str, Any]]:
        where = f"GET {path}"
        self._wait_for_turn()
        try:
            url = f"{self._base_url}{path}"
            answer = self._http.request("GET", url, params=dict(params), headers=self._headers, deadline_s=DEADLINE_S)
        except TooLarge as error:
            raise ClintApiFailed("{error}", where=where, error=str(error)) from None
        except httpx.HTTPError as error:
            # The error's text may hold the address, with a person's e-mail.
            unreachable = N_("the Clint API at {host} could not be reached: {why}")
            facts = {"host": urlsplit(self._base_url).hostname, "why": why_unreached(error)}
            raise ClintApiFailed(unreachable, where=where, **facts) from None
        status = answer.status_code
        self._compare_clocks(answer.headers.get("Date", ""))
        if status in {401, 403}:
            hint = N_("check CLINT_API_TOKEN; Clint's API needs the Elite plan")
            raise ClintApiFailed(
                N_("the Clint API refused the token, got {status}"), where=where, hint=hint, status=status
            )
        if status == 429 or status >= 500:
            wait_s = retry_after_s(answer.headers, round(time.time() * 1000)) or 0.0
            with self._lock:
                self._next_s = max(self._next_s, time.monotonic() + min(wait_s, RETRY_AFTER_CAP_S))
        try:
            data = json.loads(answer.content)["data"] if status == 200 else None
        except (ValueError, KeyError, TypeError, RecursionError):
            data = None
        if not isinstance(data, list):
            raise ClintApiFailed(N_("the Clint API must answer with a list, got {status}"), where=where, status=status)
        return [item for item in data if isinstance(item, dict)]

    def _compare_clocks(self, date: str) -> None:
        with suppress(ValueError, OverflowError):
            ahead_ms = round((parsedate_to_datetime(date).timestamp() - time.time()) * 1000)
            self._ahead_ms = ahead_ms if abs(ahead_ms) > CLOCK_TOLERANCE_MS else 0

    def _wait_for_turn(self) -> None:
        with self._lock:
            turn_s = max(self._next_s, time.monotonic())
            self._next_s = turn_s + self._every_s
        self._sleep(max(0.0, turn_s - time.monotonic()))


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
        **{name: str(item.get(name) or "") for name in ("id", "origin_id", "stage_id", "stage", "status")},
        times_ms={name: moment - ahead_ms for name, moment in times.items()},
        fields={"value": item.get("value"), **(fields if isinstance(fields, dict) else {})},
    )


def _moment_ms(value: object) -> int | None:
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return round(moment.replace(tzinfo=moment.tzinfo or UTC).timestamp() * 1000)
