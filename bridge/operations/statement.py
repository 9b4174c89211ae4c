"""The statement of an Asaas account as OFX and CSV, for accounting programs."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from itertools import pairwise
from typing import Any
from xml.sax.saxutils import escape

from ofxtools import models
from ofxtools.header import OFXHeaderV1
from ofxtools.models.ofx import OFX
from ofxtools.Parser import OFXTree
from ofxtools.utils import tostring_unclosed_elements

from bridge.asaas.client import AsaasClient, pages
from bridge.errors import AsaasUnavailable, BridgeError
from bridge.mapping.values import BadValue, as_day, as_decimal
from bridge.messages import N_, Message

PATH = "/financialTransactions"
_ABOUT = ("paymentId", "transferId", "anticipationId", "billId", "invoiceId", "paymentDunningId")


@dataclass(frozen=True, slots=True)
class Entry:
    id: str
    """Asaas's id, which is stable."""
    day: date
    """In Brasília; Asaas gives no time."""
    amount: Decimal
    """Positive is income."""
    balance: Decimal
    """Of the account, after the entry."""
    kind: str
    text: str
    about: str = ""
    """The id of the charge, transfer or other object."""


@dataclass(frozen=True, slots=True)
class Statement:
    """The entries of a range of days, both included."""

    account: str
    since: date
    until: date
    entries: Sequence[Entry]
    """Oldest first."""
    balance: Decimal
    """After the last entry."""


def read_statement(
    client: AsaasClient,
    since: date,
    until: date,
    *,
    on_progress: Callable[[int, int], object] = lambda _done, _total: None,
) -> Statement:
    """Return the account's statement. Raises EnrichmentWaits."""
    days: dict[str, str | int] = {"startDate": since.isoformat(), "finishDate": until.isoformat(), "order": "asc"}
    found: dict[str, Entry] = {}
    for page in pages(client, PATH, days):
        for item in page.items:
            entry = _entry(item, client.account)
            found.setdefault(entry.id, entry)  # a shifted page shows an entry twice
        on_progress(len(found), page.total)
    entries = in_order(list(found.values()))
    balance = entries[-1].balance if entries else _balance_before(client, since)
    return Statement(client.account, since, until, entries, balance)


def in_order(entries: Sequence[Entry]) -> list[Entry]:
    """Return the entries oldest first, from a list in either order.

    >>> day = date(2026, 11, 22)
    >>> first = Entry("a", day, Decimal(5), Decimal(5), "", "")
    >>> then = Entry("b", day, Decimal(-2), Decimal(3), "", "")
    >>> [entry.id for entry in in_order([then, first])]
    ['a', 'b']
    """
    turned = list(reversed(entries))
    best = turned if _follows(turned) > _follows(entries) else list(entries)
    return sorted(best, key=lambda entry: entry.day)


def _follows(entries: Sequence[Entry]) -> int:
    """Return how many entries lead from the balance before to their own."""
    pairs = pairwise(entries)
    return sum(one.day <= then.day and one.balance + then.amount == then.balance for one, then in pairs)


def _balance_before(client: AsaasClient, since: date) -> Decimal:
    found = client.get(PATH, {"finishDate": since.isoformat(), "order": "desc", "limit": 1}) or {}
    items = found.get("data")
    return _entry(items[0], client.account).balance if isinstance(items, list) and items else Decimal("0.00")


def _entry(item: Any, account: str) -> Entry:
    where = f"GET {PATH}, account {account}"
    if not isinstance(item, dict) or not isinstance(item.get("id"), str) or not item["id"].strip():
        raise AsaasUnavailable(N_("an entry of the statement must have an id, got none"), where=where)
    try:
        return Entry(
            item["id"].strip(),
            as_day(item.get("date")),
            _amount(item.get("value")),
            _amount(item.get("balance")),
            str(item.get("type") or ""),
            " ".join(str(item.get("description") or "").split()),
            next((str(item[name]) for name in _ABOUT if item.get(name)), ""),
        )
    except (BadValue, ArithmeticError):
        what = N_("an entry of the statement must have a date, a value and a balance, got another")
        raise AsaasUnavailable(what, where=where) from None


def _amount(value: Any) -> Decimal:
    return as_decimal(value).quantize(Decimal("0.01"))


_BRASILIA = timezone(timedelta(hours=-3), "BRT")
"""With the name that banks write instead of -03."""


def written_ofx(statement: Statement, now: datetime, *, bank: str = "461", account_id: str = "") -> bytes:
    """Return the statement as an OFX file; `account_id` defaults to the account's name, and 461 is Asaas (COMPE)."""
    tree = _document(statement, now, bank, account_id or statement.account).to_etree()
    for element in tree.iter():
        if element.text:
            element.text = escape(element.text)  # the library does not escape
    body = tostring_unclosed_elements(tree).decode()
    # Some readers need a line for each tag, as banks write it.
    lines = re.sub(r"(?<!^)<", "\r\n<", body)
    header = str(OFXHeaderV1(102, encoding="USASCII", charset="1252"))
    written = (header + lines + "\r\n").encode("cp1252", errors="replace")
    check(written, statement)
    return written


def _document(statement: Statement, now: datetime, bank: str, account_id: str) -> OFX:
    done = models.STATUS(code=0, severity="INFO")
    since, until = _noon(statement.since), _noon(statement.until)
    found = models.STMTRS(
        curdef="BRL",
        bankacctfrom=models.BANKACCTFROM(bankid=bank, acctid=account_id[:22], accttype="CHECKING"),
        banktranlist=models.BANKTRANLIST(*map(_transaction, statement.entries), dtstart=since, dtend=until),
        ledgerbal=models.LEDGERBAL(balamt=statement.balance, dtasof=until),
    )
    sign_on = models.SONRS(status=done, dtserver=now.astimezone(_BRASILIA), language="POR")
    answer = models.STMTTRNRS(trnuid="1", status=done, stmtrs=found)
    return OFX(signonmsgsrsv1=models.SIGNONMSGSRSV1(sonrs=sign_on), bankmsgsrsv1=models.BANKMSGSRSV1(answer))


def _transaction(entry: Entry) -> models.STMTTRN:
    text = "".join(filter(str.isprintable, entry.text)) or entry.kind or entry.id
    return models.STMTTRN(
        trntype=_kind(entry),
        dtposted=_noon(entry.day),
        trnamt=entry.amount,
        fitid=entry.id,
        name=text[:32].strip(),
        memo=text[:255].strip(),
    )


def _kind(entry: Entry) -> str:
    if entry.amount < 0 and entry.kind.endswith("_FEE"):
        return "FEE"
    if entry.kind.startswith(("TRANSFER", "INTERNAL_TRANSFER")):
        return "XFER"
    return "CREDIT" if entry.amount >= 0 else "DEBIT"


def _noon(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, 12, tzinfo=_BRASILIA)


def check(written: bytes, statement: Statement) -> None:
    """Raise BridgeError where a strict library reads other entries from the file than those of the statement."""
    tree = OFXTree()
    tree.parse(io.BytesIO(written))
    (read,) = tree.convert().statements
    entries = [(one.id, one.amount, _noon(one.day)) for one in statement.entries]
    problem = ""
    # Readers accept 129,90 and take it for different numbers.
    amounts = re.findall(rb"<(?:TRNAMT|BALAMT)>([^\r\n<]*)", written)
    if not all(re.fullmatch(rb"-?\d+\.\d{2}", amount) for amount in amounts):
        problem = N_("an amount that is not like -129.90")
    elif [(one.fitid, one.trnamt, one.dtposted) for one in read.transactions] != entries:
        problem = N_("other entries")
    elif read.ledgerbal.balamt != statement.balance:
        problem = N_("another balance")
    if problem:
        what, hint = N_("the OFX file must match the statement, got {problem}"), N_("report this fault of the bridge")
        raise BridgeError(what, hint=hint, problem=Message(problem))


def written_csv(statements: Iterable[Statement]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["account", "date", "id", "type", "description", "about", "value", "balance"])
    for statement in statements:
        for one in statement.entries:
            # A spreadsheet would run a formula.
            description = f"'{one.text}" if one.text.startswith(("=", "+", "-", "@")) else one.text
            row = (statement.account, one.day.isoformat(), one.id, one.kind, description, one.about)
            writer.writerow([*row, f"{one.amount:.2f}", f"{one.balance:.2f}"])
    return text.getvalue()
