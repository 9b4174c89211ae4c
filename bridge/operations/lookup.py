"""Looks a charge up at Asaas that the journal does not have, by what a person typed.

Changes nothing but the notices about the webhook, which is looked at too.

Asaas lists charges by customer and reference, and customers by name, e-mail, document and reference. It finds no
charge by the number of its invoice, and maybe no customer by a part of the name: the journal's customers are found by
parts of words.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeAlias

from stdnum.br import cnpj, cpf

from bridge.asaas.client import AsaasClient
from bridge.asaas.webhooks import Webhook, Webhooks, find_ours, hook_url
from bridge.errors import BridgeError, JournalError
from bridge.journal import customers, search
from bridge.journal.search import digits, words
from bridge.operations.backfill import events_for_charge
from bridge.operations.reconcile import BEHIND, Compared, compare_with_journal
from bridge.operations.webhooks import judge
from bridge.runtime import Runtime

AT_ONCE = 8
"""Requests under way. Two searches wait for others, so that it must be more than two."""
MOST_CUSTOMERS = 3
MOST_CHARGES = 20


Charge: TypeAlias = Mapping[str, Any]
Customer: TypeAlias = Mapping[str, Any]


class By(StrEnum):
    """The ways in which Asaas can find a text."""

    CHARGE = "charge"
    CUSTOMER = "customer"
    EMAIL = "email"
    DOCUMENT = "document"
    REFERENCE = "reference"
    NAME = "name"


_OF_CUSTOMERS = {By.EMAIL: "email", By.DOCUMENT: "cpfCnpj", By.NAME: "name"}
"""The parameter of the list of customers."""


class Sending(StrEnum):
    """What the account's webhooks do with some events."""

    SENT = "sent"
    INTERRUPTED = "interrupted"
    """Asaas stopped the queue after failures; the events wait in it."""
    SWITCHED_OFF = "switched_off"
    NOT_SUBSCRIBED = "not_subscribed"
    MISSING = "missing"
    """No webhook leads to the bridge."""


@dataclass(frozen=True, slots=True)
class FoundCharge:
    """A charge of Asaas with its events in the journal."""

    compared: Compared
    customer: Customer
    """As Asaas has it; empty where it was not asked for."""
    is_here: bool
    """Whether the journal knows it as Asaas has it."""
    expected: tuple[str, ...] = ()
    """The events of its status, where they are not here."""
    mappings: tuple[str, ...] = ()
    """The active mappings that listen to one of them."""
    sending: Sending | None = None
    """What the webhook does with them; None where Asaas did not say."""


@dataclass(slots=True)
class LookUp:
    looked_by: list[By] = field(default_factory=list)
    charges: list[FoundCharge] = field(default_factory=list)
    customers: list[Customer] = field(default_factory=list)
    """Customers that were found and have no charge."""


def searches(text: str) -> list[By]:
    """Return the ways to look a text up; none for a text that Asaas can't search by.

    >>> [by.value for by in searches("maria@example.com")], searches("evt_1&2")
    (['email'], [])
    """
    text = text.strip()
    if re.fullmatch(r"pay_\w{3,60}", text, re.ASCII):
        return [By.CHARGE]
    if re.fullmatch(r"cus_\w{3,60}", text, re.ASCII):
        return [By.CUSTOMER]
    if re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s]+", text):
        return [By.EMAIL]
    number = digits(text)
    if cpf.is_valid(number) or cnpj.is_valid(number):
        return [By.DOCUMENT]
    if not 2 < len(text) <= 100 or text.startswith(("evt_", "sha256:")):
        return []
    return [By.REFERENCE, *([By.NAME] if words(text) else [])]


def is_phone(text: str) -> bool:
    """Return whether a text may be a phone, by which Asaas finds nothing.

    >>> is_phone("(11) 98765-4321"), is_phone("1234"), is_phone("pedido 11987654321")
    (True, False, False)
    """
    return re.fullmatch(r"[\d\s().+-]+", text.strip()) is not None and len(digits(text)) in {10, 11}


def look_up(runtime: Runtime, account: str, text: str) -> LookUp:
    """Return the charges of an account that the text leads to. Raises BridgeError where Asaas can't be asked."""
    client, text = runtime.asaas[account], text.strip()
    result = LookUp(searches(text))
    asked_ms = runtime.clock_ms()
    found: dict[str, tuple[Charge, Customer]] = {}
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="lookup") as pool:  # a person waits
        asked = pool.submit(_webhooks, client)
        own = _own_customers(runtime, account, text) if By.NAME in result.looked_by else []
        for charges in pool.map(lambda by: _charges(client, pool, by, text, result, own), result.looked_by):
            for charge, customer in charges:
                found.setdefault(str(charge.get("id")), (charge, customer))
    public_url, hooks = runtime.settings.bridge_public_url, asked.result()
    ours = None
    if hooks is not None:
        ours = find_ours(hooks, account, hook_url(public_url, account) if public_url else None)
        in_use = [item.mapping for item in runtime.mappings.current()]
        with suppress(JournalError):  # what was found is shown all the same
            judge(runtime.journal, account, hooks, in_use, public_url, runtime.clock_ms())
    for charge, customer in list(found.values())[:MOST_CHARGES]:
        compared = compare_with_journal(account, runtime.journal, charge, asked_ms)
        result.charges.append(_found(runtime, account, compared, customer, ours, asked_ms))
    return result


def sending(ours: Sequence[Webhook], names: Collection[str]) -> Sending:
    """Return what the account's webhooks that lead to the bridge do with events of these names."""

    def has_all(hooks: Iterable[Webhook]) -> bool:
        return set(names) <= {name for hook in hooks for name in hook.events}

    if not ours:
        return Sending.MISSING
    if has_all(hook for hook in ours if hook.enabled and not hook.interrupted):
        return Sending.SENT
    if has_all(hook for hook in ours if hook.enabled):
        return Sending.INTERRUPTED
    return Sending.SWITCHED_OFF if has_all(ours) else Sending.NOT_SUBSCRIBED


def _own_customers(runtime: Runtime, account: str, text: str) -> list[Customer]:
    """Return the account's customers of the journal whose names have all words of the text, or their beginnings."""
    with runtime.journal.database.read() as connection:
        refs = [one for one in search.look_up(connection, text).subjects if one[0] == account]
        known = customers.load(connection, refs[:MOST_CUSTOMERS])
    return [{"id": id_, "name": one.name} for (_account, id_), one in sorted(known.items())]


def _charges(
    client: AsaasClient, pool: ThreadPoolExecutor, by: By, text: str, result: LookUp, own: Sequence[Customer]
) -> list[tuple[Charge, Customer]]:
    """Return charges with their customers; those of `own` come first where the text is a name."""
    if by is By.CHARGE:
        charge = client.get_object("payment", text)
        return _with_customers(client, pool, [charge] if charge else [])
    if by is By.REFERENCE:
        return _with_customers(client, pool, _listed(client, "/payments", {"externalReference": text}))
    if by is By.CUSTOMER:
        customer = client.get_object("customer", text)
        return _charges_of(client, pool, [customer] if customer else [], result)
    values = [digits(text).upper()] if by is By.DOCUMENT else [text]
    if by is By.EMAIL and text != text.lower():
        values.append(text.lower())
    found = [one for value in values for one in _listed(client, "/customers", {_OF_CUSTOMERS[by]: value})]
    found = found[:MOST_CUSTOMERS]
    all_found = {one.get("id"): one for one in (*(own if by is By.NAME else ()), *found)}
    return _charges_of(client, pool, list(all_found.values()), result)


def _with_customers(
    client: AsaasClient, pool: ThreadPoolExecutor, charges: Sequence[Charge]
) -> list[tuple[Charge, Customer]]:
    ids = list(dict.fromkeys(str(charge.get("customer") or "") for charge in charges))[:MOST_CUSTOMERS]
    asked = pool.map(lambda id_: (client.get_object("customer", id_) if id_ else None) or {}, ids)
    customers = dict(zip(ids, asked, strict=True))
    return [(charge, customers.get(str(charge.get("customer") or ""), {})) for charge in charges]


def _charges_of(
    client: AsaasClient, pool: ThreadPoolExecutor, found: Sequence[Customer], result: LookUp
) -> list[tuple[Charge, Customer]]:
    lists = list(pool.map(lambda one: _listed(client, "/payments", {"customer": str(one.get("id"))}), found))
    result.customers += [customer for customer, charges in zip(found, lists, strict=True) if not charges]
    return [(charge, customer) for customer, charges in zip(found, lists, strict=True) for charge in charges]


def _listed(client: AsaasClient, path: str, params: dict[str, str | int]) -> list[dict[str, Any]]:
    # One page, not `pages`: a person waits, and a failed request is not repeated.
    data = (client.get(path, {**params, "limit": MOST_CHARGES}) or {}).get("data")
    return [one for one in data if isinstance(one, dict)] if isinstance(data, list) else []


def _webhooks(client: AsaasClient) -> list[Webhook] | None:
    """Return the account's webhooks; None where Asaas does not say."""
    try:
        return Webhooks(client).all()
    except BridgeError:
        return None


def _found(
    runtime: Runtime,
    account: str,
    compared: Compared,
    customer: Customer,
    ours: Sequence[Webhook] | None,
    asked_ms: int,
) -> FoundCharge:
    if compared.verdict not in BEHIND:
        return FoundCharge(compared, customer, is_here=True)
    names = tuple(event.name for event in events_for_charge(compared, account, asked_ms))
    listening = tuple(
        item.mapping.name
        for item in runtime.mappings.current()
        if item.mapping.enabled and item.mapping.account == account and any(map(item.mapping.listens_to, names))
    )
    sent = None if ours is None or not names else sending(ours, names)
    return FoundCharge(compared, customer, is_here=False, expected=names, mappings=listening, sending=sent)
