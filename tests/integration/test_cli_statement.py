"""`bridge statement`: a simulated Asaas's entries as OFX and CSV, read back by two libraries."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import ofxparse
import pytest
from ofxtools.Parser import OFXTree

from bridge.errors import AsaasUnavailable, BridgeError
from bridge.operations.statement import Entry, Statement, check, read_statement, written_csv, written_ofx
from tests.charges import Place, place

WALLET = "48548710-9baa-4ec1-a11f-9010193527c6"
DAY = date(2026, 11, 20)
NOW = datetime(2026, 11, 22, 15, tzinfo=UTC)


@pytest.fixture
def at(tmp_path: Path) -> Iterator[Place]:
    """Give a simulated Asaas and commands that read from it."""
    with place(tmp_path) as found:
        yield found


def moved(at: Place) -> list[str]:
    """Let money come and go: a Pix with a split three days ago, and a refund of a part today."""
    at.calendar.goes(-3)
    charge = at.paid(129.9, split=[{"walletId": WALLET, "fixedValue": 20}])
    at.calendar.goes(3)
    at.asaas.is_refunded(charge, 9.9)
    return ["129.90", "-1.99", "-20.00", "-9.90"]


def test_ofx_is_what_banks_write(at: Place, tmp_path: Path) -> None:
    """Version 1.02, Windows-1252, a line for each tag, Brasília's days, dots in amounts."""
    amounts = moved(at)
    path = tmp_path / "extrato.ofx"
    said = at.commands.run("statement", "--since", "5d", "--output", str(path), "--account-id", "12345-6")

    text = path.read_bytes().decode("cp1252")
    assert (said.status, said.out, said.err) == (0, "", f"4 entries; written: {path}\n")
    assert text.startswith("OFXHEADER:100\r\nDATA:OFXSGML\r\nVERSION:102\r\n")
    assert "ENCODING:USASCII\r\nCHARSET:1252\r\n" in text
    assert "<BANKID>461\r\n<ACCTID>12345-6\r\n<ACCTTYPE>CHECKING\r\n" in text
    assert "Cobrança recebida" in text
    assert re.findall(r"<TRNAMT>(.*)\r", text) == amounts
    assert re.findall(r"<TRNTYPE>(.*)\r", text) == ["CREDIT", "FEE", "XFER", "DEBIT"]
    assert re.findall(r"<BALAMT>(.*)\r", text) == ["98.01"]
    today, paid = at.calendar.now, (at.calendar.now.date().toordinal() - 3)
    assert f"<DTPOSTED>{date.fromordinal(paid):%Y%m%d}120000.000[-3:BRT]" in text
    assert f"<DTEND>{today:%Y%m%d}120000" in text


@pytest.mark.filterwarnings("ignore:Call to deprecated method:DeprecationWarning")  # ofxparse's own
def test_two_libraries_read_the_same(at: Place, tmp_path: Path) -> None:
    """The strict one and the one that is found everywhere; the ids are Asaas's."""
    moved(at)
    path = tmp_path / "extrato.ofx"
    at.commands.run("statement", "--since", "5d", "--output", str(path))

    strict = OFXTree()
    strict.parse(str(path))
    (read,) = strict.convert().statements
    with path.open("rb") as file:
        account = ofxparse.OfxParser.parse(file).account

    ids = [entry["id"] for entry in at.asaas.book.ledger.listed({"order": "asc"})["data"]]
    assert [one.fitid for one in read.transactions] == ids
    assert [one.id for one in account.statement.transactions] == ids
    assert [one.amount for one in account.statement.transactions] == [one.trnamt for one in read.transactions]
    assert [one.memo for one in account.statement.transactions] == [one.memo for one in read.transactions]
    assert (account.statement.balance, account.account_id, account.routing_number) == (
        Decimal("98.01"),
        "default",
        "461",
    )
    first = account.statement.transactions[0]
    assert first.date.date() == date.fromordinal(at.calendar.now.date().toordinal() - 3)


def test_a_second_statement_is_the_same(at: Place) -> None:
    """What was imported once is known by its id."""
    moved(at)

    def entries() -> list[str]:
        return re.findall(r"<FITID>(.*)", at.commands.run("statement", "--since", "5d").out)

    assert len(entries()) == 4
    assert entries() == entries()


def test_csv_has_a_row_for_each_entry(at: Place) -> None:
    """Of every account that has a key."""
    moved(at)
    rows = list(csv.DictReader(io.StringIO(at.commands.run("statement", "--since", "5d", "--format", "csv").out)))

    assert [row["value"] for row in rows] == ["129.90", "-1.99", "-20.00", "-9.90"]
    assert [row["type"] for row in rows][:2] == ["PAYMENT_RECEIVED", "PAYMENT_FEE"]
    assert {row["account"] for row in rows} == {"default"}
    assert rows[0]["about"].startswith("pay_")


def test_days_without_entries_have_the_balance_before(at: Place) -> None:
    """An empty statement is one too."""
    at.calendar.goes(-30)
    at.paid(100)
    at.calendar.goes(30)

    later = at.commands.run("statement", "--since", "2d")
    before = at.commands.run("statement", "--since", "60d", "--until", "50d")

    assert later.status == 0
    assert "<BALAMT>98.01" in later.out
    assert "<BALAMT>0.00" in before.out
    assert later.err == "0 entries\n"


@pytest.mark.parametrize(
    ("arguments", "environ", "text"),
    [
        (("--bank-id", "1234567890"), {}, "--bank-id must have 1 to 9 characters, got 10"),
        ((), {"ASAAS_API_KEY_MATRIZ": "$aact_hmlg_x"}, "an OFX file is for one account, got default, matriz"),
    ],
)
def test_wrong_use_is_said(at: Place, arguments: tuple[str, ...], environ: dict[str, str], text: str) -> None:
    """Status 2 before anything is read."""
    said = at.commands.run("statement", "--since", "2d", *arguments, **environ)

    assert said.status == 2
    assert text in said.err


def entry(id_: str = "ftn_1", amount: str = "10.00", balance: str = "10.00", **more: Any) -> Entry:
    """Return one line of a statement."""
    return Entry(id_, DAY, Decimal(amount), Decimal(balance), **{"kind": "CREDIT", "text": "Crédito", **more})


def of(*entries: Entry) -> Statement:
    """Return a statement of these entries."""
    return Statement("default", DAY, DAY, entries, entries[-1].balance)


def test_odd_texts_do_not_break_the_file() -> None:
    """Marks of SGML, characters that Windows-1252 lacks, long texts, none at all."""
    statement = of(
        entry("a", text="A & B <b> 'c'"),
        entry("b", text="日本 ✓ – ok"),
        entry("c", text="x" * 300),
        entry("d", text="", kind="PIX"),
        entry("e", text="tab\x00\x1b[31m"),
    )
    written = written_ofx(statement, NOW)
    tree = OFXTree()
    tree.parse(io.BytesIO(written))
    memos = [one.memo for one in tree.convert().statements[0].transactions]

    assert memos[0] == "A & B <b> 'c'"
    assert memos[1] == "?? ? – ok"
    assert len(memos[2]) == 255
    assert memos[3:] == ["PIX", "tab[31m"]


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (b"<TRNAMT>10.00", b"<TRNAMT>10,00", "an amount that is not like -129.90"),
        (b"<FITID>ftn_1", b"<FITID>ftn_2", "other entries"),
        (b"<BALAMT>10.00", b"<BALAMT>11.00", "another balance"),
    ],
)
def test_a_file_that_says_something_else_is_not_handed_out(old: bytes, new: bytes, problem: str) -> None:
    """Readers take a comma without a word: the own check does not."""
    statement = of(entry())
    written = written_ofx(statement, NOW)
    assert old in written

    with pytest.raises(BridgeError, match=problem):
        check(written.replace(old, new), statement)


def test_a_spreadsheet_runs_no_description() -> None:
    """A text that begins like a formula is marked as a text."""
    assert ",'=1+1," in written_csv([of(entry(text="=1+1"))])


class Answers:
    """An API that gives one page."""

    account = "default"

    def __init__(self, *items: Any) -> None:
        self._items = items

    def get(self, path: str, params: Any = None) -> dict[str, Any]:
        return {"data": list(self._items), "hasMore": False, "totalCount": len(self._items)}


def item(id_: Any = "ftn_1", **more: Any) -> dict[str, Any]:
    """Return an entry as Asaas gives it."""
    return {"id": id_, "date": "2026-11-20", "value": 1, "balance": 1, "type": "CREDIT", "description": "x", **more}


def test_a_list_in_the_other_order_is_turned_round() -> None:
    """The balances say which entry came first, also within a day; one that comes twice counts once."""
    newest_first = [item("b", value=-2, balance=3), item("a", value=5, balance=5), item("a", value=5, balance=5)]
    found = read_statement(Answers(*newest_first), DAY, DAY)  # type: ignore[arg-type]

    assert [one.id for one in found.entries] == ["a", "b"]
    assert found.balance == Decimal("3.00")


@pytest.mark.parametrize(
    "odd", [item(None), item(" "), item(date=None), item(value="x"), item(balance=None), item(value=1e300)]
)
def test_an_entry_that_can_not_be_written_is_said(odd: dict[str, Any]) -> None:
    """Better no file than one that lacks an entry."""
    with pytest.raises(AsaasUnavailable, match="an entry of the statement must have"):
        read_statement(Answers(odd), DAY, DAY)  # type: ignore[arg-type]
