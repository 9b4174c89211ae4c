"""Anonymous samples: replaces the personal values of an event of Asaas.

Fakes are numbered in the order of appearance: within one scrubber a value gets the same fake everywhere, one event
gives the same sample each time, and no fake can be computed back. Amounts, dates, statuses and (unless asked) ids stay.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from stdnum.br import cnpj, cpf

_NAMES = ("Ana da Silva", "Bruno dos Santos", "Carla de Souza", "Diego e Lima", "Elisa Pereira", "Fábio de Sá")
_EMAIL = re.compile(r"[\w.%+-]{1,64}@[\w-]+(?:\.[\w-]+)+")
_DOCUMENT = re.compile(
    r"(?<![\w-])(?:\d{3}\.?\d{3}\.?\d{3}-?\d{2}|[\dA-Z]{2}\.?[\dA-Z]{3}\.?[\dA-Z]{3}/?[\dA-Z]{4}-?\d{2})(?![\w-])"
)
_PHONE = re.compile(r"(?<![\w-])(?:\+?55[ -]?)?\(?\d{2}\)?[ -]?9?\d{4}-\d{4}(?![\w-])")
_URL = re.compile(r"https?://[^\s\"'<>]+")
_URL_TAIL = re.compile(r"[^/]+/?$")
_ID = re.compile(r"[a-z]{2,4}_[\w&-]{6,}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_LEAST_KNOWN = 4
"""Ours: a shorter name is a part of other words by chance."""


class Scrubber:
    """Scrubs an event and the objects fetched for it; in one call, a name of one is found in the texts of all."""

    def __init__(self, *, ids: bool = False) -> None:
        self._ids = ids
        self._seen: dict[str, dict[str, int]] = {}
        self._known: dict[str, str] = {}

    def scrub(self, value: Any) -> Any:
        # A name may also stand in a text that was walked before the name itself.
        return _mapped(_mapped(value, self._scrubbed), self._without_known)

    def _scrubbed(self, value: Any, path: tuple[str, ...]) -> Any:
        if value is None or isinstance(value, bool | float) or value == "":
            return value
        kind = _kind_of(path)
        if isinstance(value, int):
            return int(self._fake(kind, str(value))) if kind in _DIGITS else value
        return self._fake(kind, value) if kind else self._text(value)

    def _fake(self, kind: str, value: str) -> str:
        if kind == "emails":
            return ",".join(self._fake("email", one.strip()) for one in re.split("[,;]", value))
        seen = self._seen.setdefault(kind, {})
        number = seen.setdefault(re.sub(r"\W", "", value).casefold(), len(seen) + 1)
        fake = _FAKES[kind](value, number)
        if kind in {"name", "company"} and len(value) >= _LEAST_KNOWN:
            self._known[value] = fake
        return fake

    def _text(self, value: str) -> str:
        if self._ids and _ID.fullmatch(value):
            return self._fake("id", value)
        value = _URL.sub(lambda found: self._fake("url", found[0]), value)
        value = _EMAIL.sub(lambda found: self._fake("email", found[0]), value)
        value = _DOCUMENT.sub(lambda found: self._document(found[0]), value)
        return _PHONE.sub(lambda found: self._fake("phone", found[0]), value)

    def _document(self, value: str) -> str:
        return self._fake("document", value) if cpf.is_valid(value) or cnpj.is_valid(value) else value

    def _without_known(self, value: Any, _path: tuple[str, ...]) -> Any:
        for known, fake in self._known.items() if isinstance(value, str) else ():
            pattern = re.compile(rf"(?<!\w){re.escape(known)}(?!\w)", re.IGNORECASE)
            value = fake.join(pattern.split(value))
        return value


def _mapped(value: Any, change: Callable[[Any, tuple[str, ...]], Any], path: tuple[str, ...] = ()) -> Any:
    """Return JSON with each value changed, which is given with its path."""
    if isinstance(value, dict):
        return {key: _mapped(one, change, (*path, key)) for key, one in value.items()}
    if isinstance(value, list):
        return [_mapped(one, change, path) for one in value]
    return change(value, path)


_KIND_OF_KEY = {
    key.lower(): kind
    for kind, keys in {
        "name": "name ownerName holderName payerName customerName accountName",
        "company": "company companyName tradingName",
        "document": "cpfCnpj cpf cnpj ownerCpfCnpj holderCpfCnpj",
        "email": "email",
        "emails": "additionalEmails",
        "phone": "phone mobilePhone phoneNumber",
        "street": "address street",
        "house": "addressNumber",
        "complement": "complement",
        "district": "province district",
        "cep": "postalCode",
        "birth": "birthDate ownerBirthDate",
        "text": "description observations denialObservation serviceDescription reason message",
        "digits": "nossoNumero identificationField barCode agency accountDigit agencyDigit municipalInscription "
        "stateInscription endToEndIdentifier",
        "key": "pixAddressKey pixKey creditCardToken payload encodedImage imageBase64 apiKey",
        "ip": "remoteIp ip",
    }.items()
    for key in keys.split()
}
_DIGITS = frozenset({"document", "phone", "cep", "house", "digits"})


def _kind_of(path: tuple[str, ...]) -> str:
    if not path:
        return ""
    key, holder = path[-1], path[-2] if len(path) > 1 else ""
    if (key == "name" and holder in {"items", "accessToken", "bank"}) or (
        key == "description" and holder == "discount"
    ):
        return ""  # a product's or a bank's name is no person's
    if key == "account" and holder == "bankAccount":
        return "digits"
    return _KIND_OF_KEY.get(key.lower(), "")


def _as_cased(fake: str, value: str) -> str:
    return fake.upper() if value.isupper() else fake.lower() if value.islower() else fake


def _name(value: str, number: int) -> str:
    turn, place = divmod(number - 1, len(_NAMES))
    first, rest = _NAMES[place].split(" ", 1)
    # "Exemplo" shows that the name is a fake; a number tells persons apart when the names repeat.
    return _as_cased(f"{first} Exemplo{f' {turn + 1}' if turn else ''} {rest}", value)


def _filled(value: str, characters: str) -> str:
    """Return a value with these characters in the places of its letters and digits; its punctuation stays."""
    fresh = iter(characters)
    return "".join(next(fresh, "0") if one.isalnum() else one for one in value)


def _document_of(value: str, number: int) -> str:
    compact = re.sub(r"\W", "", value)
    base, is_valid = f"99988{number % 10_000:04}", cpf.is_valid
    if len(compact) > 11:
        base, is_valid = f"{'99988' if compact.isdigit() else 'EXEMP'}{number % 1_000:03}0001", cnpj.is_valid
    whole = next(base + f"{check:02}" for check in range(100) if is_valid(base + f"{check:02}"))
    return _filled(value, whole)


def _phone_of(value: str, number: int) -> str:
    # The country, the area and the digits that tell a mobile from a fixed line stay: mappings read them.
    plain = re.sub(r"\D", "", value)
    kept = plain[: max(len(plain) - 7, 0)]
    return _filled(value, kept + f"{number % 10_000_000:07}"[-(len(plain) - len(kept)) :] if plain else "")


def _url_of(value: str, number: int) -> str:
    # An invoice link opens for everyone; its host stays, since it tells sandbox from production.
    bare = value.split("?", 1)[0].split("#", 1)[0]
    return _URL_TAIL.sub(f"exemplo{number:09}", bare) if bare.count("/") > 2 else bare


def _id_of(value: str, number: int) -> str:
    if "_" not in value:
        return f"00000000-0000-4000-8000-{number:012}"
    prefix, _, rest = value.partition("_")
    return f"{prefix}_{number:012}" + (f"&{number}" if "&" in rest else "")


_FAKES: dict[str, Callable[[str, int], str]] = {
    "name": _name,
    "company": lambda value, number: _as_cased(f"Empresa Exemplo {number} Ltda", value),
    "document": _document_of,
    "email": lambda _, number: f"exemplo{number}@example.com",
    "phone": _phone_of,
    "street": lambda _, number: f"Rua Exemplo {number}",
    "house": lambda _, number: str(100 + number),
    "complement": lambda _, number: f"Sala {number}",
    "district": lambda _, number: f"Bairro Exemplo {number}",
    "cep": lambda value, number: _filled(value, f"{1_001_000 + number:08}"),
    "birth": lambda _, number: f"1990-01-{(number - 1) % 28 + 1:02}",
    "text": lambda _, number: f"Texto de exemplo {number}",
    "digits": lambda value, number: _filled(value, f"{number:0{max(len(value), 1)}}"),
    "key": lambda _, number: f"exemplo{number:09}",
    "ip": lambda _, number: f"203.0.113.{number % 250 + 1}",
    "url": _url_of,
    "id": _id_of,
}
