"""Writes a statement as OFX 1.02 (SGML, Windows-1252), which Brazilian accounting programs import; and checks it.

Each entry keeps Asaas's id as FITID, so that a second import repeats nothing. Days are given as noon in Brasília, so
that a reader that moves them to another zone stays on the day. What is written is read back before it is handed out.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta, timezone
from xml.sax.saxutils import escape

from ofxtools import models
from ofxtools.header import OFXHeaderV1
from ofxtools.models.ofx import OFX
from ofxtools.Parser import OFXTree
from ofxtools.utils import tostring_unclosed_elements

from bridge.errors import BridgeError
from bridge.statement.entries import Entry, Statement

BANK = "461"
"""Asaas among Brazilian banks (COMPE)."""

_BRASILIA = timezone(timedelta(hours=-3), "BRT")
"""With the name that banks write; the zone's own is -03."""

_ENCODING = "cp1252"
_NAME_LENGTH, _MEMO_LENGTH = 32, 255
_MOVES = ("TRANSFER", "INTERNAL_TRANSFER")
_AMOUNT = re.compile(rb"<(?:TRNAMT|BALAMT)>([^\r\n<]*)")
_DOTTED = re.compile(rb"-?\d+\.\d{2}")


def written_ofx(statement: Statement, now: datetime, *, bank: str = BANK, account_id: str = "") -> bytes:
    """Return the statement as an OFX file; without an `account_id` the account's name in the bridge stands for it."""
    tree = _document(statement, now, bank, account_id or statement.account).to_etree()
    for element in tree.iter():
        if element.text:
            element.text = escape(element.text)  # the library writes texts as they are
    body = tostring_unclosed_elements(tree).decode()
    # A line for each tag, as banks write it: some readers go by lines.
    lines = re.sub(r"(?<!^)<", "\r\n<", body)
    header = str(OFXHeaderV1(102, encoding="USASCII", charset="1252"))
    written = (header + lines + "\r\n").encode(_ENCODING, errors="replace")
    check(written, statement)
    return written


def _document(statement: Statement, now: datetime, bank: str, account_id: str) -> OFX:
    done = models.STATUS(code=0, severity="INFO")
    entries = models.BANKTRANLIST(
        *(_transaction(entry) for entry in statement.entries),
        dtstart=_noon(statement.since),
        dtend=_noon(statement.until),
    )
    found = models.STMTRS(
        curdef="BRL",
        bankacctfrom=models.BANKACCTFROM(bankid=bank, acctid=account_id[:22], accttype="CHECKING"),
        banktranlist=entries,
        ledgerbal=models.LEDGERBAL(balamt=statement.balance, dtasof=_noon(statement.until)),
    )
    return OFX(
        signonmsgsrsv1=models.SIGNONMSGSRSV1(
            sonrs=models.SONRS(status=done, dtserver=now.astimezone(_BRASILIA), language="POR")
        ),
        bankmsgsrsv1=models.BANKMSGSRSV1(models.STMTTRNRS(trnuid="1", status=done, stmtrs=found)),
    )


def _transaction(entry: Entry) -> models.STMTTRN:
    text = _plain(entry.text) or entry.kind or entry.id
    return models.STMTTRN(
        trntype=_kind(entry),
        dtposted=_noon(entry.day),
        trnamt=entry.amount,
        fitid=entry.id,
        name=text[:_NAME_LENGTH].strip(),
        memo=text[:_MEMO_LENGTH].strip(),
    )


def _kind(entry: Entry) -> str:
    if entry.amount < 0 and entry.kind.endswith("_FEE"):
        return "FEE"
    if entry.kind.startswith(_MOVES):
        return "XFER"
    return "CREDIT" if entry.amount >= 0 else "DEBIT"


def _noon(day: date) -> datetime:
    return datetime.combine(day, time(12), _BRASILIA)


def _plain(text: str) -> str:
    return "".join(character for character in text if character.isprintable())


def check(written: bytes, statement: Statement) -> None:
    """Raise BridgeError where the file does not say what the statement says, read by a library that is strict."""
    for problem in _problems(written, statement):
        raise BridgeError(
            f"the OFX file must say what Asaas said, got {problem}", mend="report this fault of the bridge"
        )


def _problems(written: bytes, statement: Statement) -> Iterator[str]:
    # Readers take 129,90 without a word, each for another number.
    if not all(_DOTTED.fullmatch(amount) for amount in _AMOUNT.findall(written)):
        yield "an amount that is not like -129.90"
    tree = OFXTree()
    tree.parse(io.BytesIO(written))
    (read,) = tree.convert().statements
    found = [(one.fitid, one.trnamt, one.dtposted) for one in read.transactions]
    if found != [(one.id, one.amount, _noon(one.day)) for one in statement.entries]:
        yield "other entries"
    if read.ledgerbal.balamt != statement.balance:
        yield "another balance"
