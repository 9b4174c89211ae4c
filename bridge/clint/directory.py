"""The origins, stages, users, lost reasons and fields of a Clint account, found by id or name.

Each list is read once in ten minutes, and anew where a name is not in it; while Clint can't be asked the last one
counts. Names are compared without case, accents and surrounding space.
"""

from __future__ import annotations

import threading
import time
import unicodedata
from collections.abc import Callable, Sequence
from typing import Generic, NamedTuple, TypeVar

from bridge.clint.api import ClintApi, Origin, Stage, User, same_key
from bridge.errors import ClintApiFailed, ClintFault, ClintNameUnknown
from bridge.mapping.findings import did_you_mean, shown
from bridge.mapping.model import ClintDirectory
from bridge.messages import N_
from bridge.redaction import redact

T = TypeVar("T")
Named = TypeVar("Named", Origin, Stage, User)

CACHE_S = 600.0
MISS_EVERY_S = 30.0
"""A name that Clint does not have causes one reading in this time, however many deliveries name it."""
FAILED_EVERY_S = 5.0
"""After a reading that failed nobody waits for another one this soon."""


class Directory:
    """The names of one Clint account; threads may share it. Raises ClintApiFailed where a list can't be read."""

    def __init__(self, api: ClintApi, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._origins = _Cached(lambda: tuple(one for one in api.origins() if not one.archived), clock_s)
        self._users = _Cached(lambda: tuple(api.users()), clock_s)
        self._fields = _Cached(api.account_fields, clock_s)
        self._lost_reasons = _Cached(api.lost_reasons, clock_s)

    def origin(self, name: str) -> Origin:
        """Return the origin of that id or name. Raises ClintNameUnknown (`origin`); archived ones are left out."""
        found = self._origins.find(lambda origins: _named(origins, name, _origin_name))
        if len(found) == 1:
            return found[0]
        if found:
            twice = N_("Clint has {number} origins called {name}: give the id instead of the name")
            raise ClintNameUnknown(twice, kind="origin", name=_safe(name), number=len(found))
        meant = did_you_mean(name, map(_origin_name, self._origins.get()))
        raise ClintNameUnknown(N_("Clint has no origin {name}{meant}"), kind="origin", name=_safe(name), meant=meant)

    def stage(self, origin: str, name: str) -> Stage:
        """Return the stage of that id or label in the origin. Raises ClintNameUnknown (`origin` or `stage`)."""
        id_ = self.origin(origin).id
        found = self._origins.find(
            lambda origins: [stage for one in origins if one.id == id_ for stage in _named(one.stages, name, _label)]
        )
        if len(found) == 1:
            return found[0]
        funnel = self.origin(id_)
        facts = {"name": _safe(name), "origin": _safe(funnel.name)}
        if found:
            twice = N_("origin {origin} of Clint has {number} stages {name}: give the id instead of the name")
            raise ClintNameUnknown(twice, kind="stage", number=len(found), **facts)
        meant = did_you_mean(name, map(_label, funnel.stages))
        raise ClintNameUnknown(
            N_("origin {origin} of Clint has no stage {name}{meant}"), kind="stage", meant=meant, **facts
        )

    def stage_id(self, origin: str, name: str) -> str:
        """Return the id of a stage. Raises ClintNameUnknown (`origin` or `stage`)."""
        return self.stage(origin, name).id

    def user_id(self, email: str) -> str:
        """Return the id of the user with that e-mail. Raises ClintNameUnknown (`user`)."""
        found = self._users.find(lambda users: _named(users, email, _email))
        if not found:
            # Without the e-mail: it is personal data.
            raise ClintNameUnknown(N_("Clint has no user with the e-mail that the mapping gives"), kind="user")
        return found[0].id

    def field_key(self, group: str, key: str) -> str:
        """Return the account's key of a field of `deal`, `contact` or `organization`, else the key as it is given.

        Clint may have cut the key, and what it does with one that it does not know is unknown [U].
        """
        keys = self._fields.get()[0].get(group, {})
        return key if key in keys else next((known for known in keys if same_key(known, key)), key)

    def has_field(self, group: str, key: str, *, anew: bool = False) -> bool | None:
        """Return whether the account has a field, None where Clint's answer does not say; `anew` reads the list now."""
        if anew:
            self._fields.forget()
        fields, are_keys = self._fields.get()
        if any(same_key(known, key) for known in fields.get(group, {})):
            return True
        return False if are_keys else None

    def names(self) -> ClintDirectory:
        """Return everything as plain data, which lint and completion take."""
        users = {user.email: user.id for user in self._users.get()}
        return ClintDirectory(self.origins(), users, self._fields.get()[0], self._lost_reasons.get())

    def origins(self) -> dict[str, tuple[str, tuple[tuple[str, str], ...]]]:
        """Return the origins as plain data: by id the name, and the id and label of each stage."""
        return {
            one.id: (one.name, tuple((stage.id, stage.label) for stage in one.stages)) for one in self._origins.get()
        }

    def forget(self) -> None:
        """Read every list anew when it is needed next, such as after Clint answered that an id is gone."""
        for cached in (self._origins, self._users, self._fields, self._lost_reasons):
            cached.forget()


class ClintAccount(NamedTuple):
    """The account of Clint that a token opens."""

    api: ClintApi
    directory: Directory


class _Cached(Generic[T]):
    """A list that is read when it is needed; one thread reads, the others wait for it."""

    def __init__(self, read: Callable[[], T], clock_s: Callable[[], float]) -> None:
        self._read = read
        self._clock_s = clock_s
        self._lock = threading.Lock()
        self._value: T | None = None
        self._read_at_s = 0.0
        self._error: ClintApiFailed | None = None
        """Of the last reading."""
        self._failed_at_s = 0.0

    def get(self) -> T:
        with self._lock:
            value, now_s = self._value, self._clock_s()
            if value is None:
                return self._anew()
            if now_s < self._read_at_s + CACHE_S or (self._error and now_s < self._failed_at_s + MISS_EVERY_S):
                return value
            try:
                return self._anew()
            except ClintApiFailed as error:
                if error.kind not in {ClintFault.BUSY, ClintFault.FAILED}:
                    raise
                return value

    def find(self, look: Callable[[T], Sequence[Named]]) -> Sequence[Named]:
        """Return what is found in the list, or in a new one where nothing is."""
        found = look(self.get())
        if found:
            return found
        with self._lock:
            value = self._value
            if value is None or self._error or self._clock_s() >= self._read_at_s + MISS_EVERY_S:
                # Where this fails, it is not known that Clint lacks the name.
                value = self._anew()
        return look(value)

    def forget(self) -> None:
        with self._lock:
            self._value = None

    def _anew(self) -> T:
        if self._error and self._clock_s() < self._failed_at_s + FAILED_EVERY_S:
            raise self._error.with_traceback(None)
        try:
            self._value = self._read()
        except ClintApiFailed as error:
            self._error, self._failed_at_s = error, self._clock_s()
            raise
        self._error, self._read_at_s = None, self._clock_s()
        return self._value


def _origin_name(origin: Origin) -> str:
    return origin.name


def _label(stage: Stage) -> str:
    return stage.label


def _email(user: User) -> str:
    return user.email


def _named(items: Sequence[Named], name: str, name_of: Callable[[Named], str]) -> list[Named]:
    """Return the item of that id, else those of that very name, else those that differ in case or accents only."""
    for matches in (
        lambda item: item.id == name.strip(),
        lambda item: name_of(item) == name,
        lambda item: _folded(name_of(item)) == _folded(name),
    ):
        if found := [item for item in items if matches(item)]:
            return found
    return []


def _folded(name: str) -> str:
    decomposed = unicodedata.normalize("NFKD", " ".join(name.split()).casefold())
    return "".join(sign for sign in decomposed if not unicodedata.combining(sign))


def _safe(name: str) -> str:
    return redact(shown(name))
