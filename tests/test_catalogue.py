"""`make lint` finds each planted fault of the gettext catalogue."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from babel.messages import Catalog

from tests import catalogue
from tests.catalogue import Key, problems

KEYS: set[Key] = {("no event has the number {number}", None), (("{n} event", "{n} events"), None), ("Usage:", None)}


@pytest.fixture
def made() -> Catalog:
    """Give a catalogue in which nothing is wrong, with the committed one's plural rule."""
    found = catalogue.read()
    catalogue.update(found, set(), set())
    found.add("no event has the number {number}", "nenhum evento tem o número {number}")
    found.add(("{n} event", "{n} events"), ("{n} evento", "{n} eventos"))
    found.add("Usage:", "Uso:")
    return found


def test_a_sound_catalogue_has_no_problem(made: Catalog) -> None:
    """Each text has an entry with the same placeholders."""
    assert problems(made, KEYS) == []


@pytest.mark.parametrize("text", ["a new text", ("{n} charge", "{n} charges")])
def test_a_text_without_an_entry_is_found(made: Catalog, text: str | tuple[str, str]) -> None:
    """It would be English on a Portuguese page."""
    assert problems(made, KEYS | {(text, None)}) == [f"no entry (run make messages): {text!r}"]


def test_an_entry_without_a_text_is_found(made: Catalog) -> None:
    """Nobody would know whether it may go."""
    made.add("an old text", "um texto antigo")

    assert problems(made, KEYS) == ["no text of the bridge (run make messages): 'an old text'"]


@pytest.mark.parametrize("string", ["", "fuzzy"])
def test_an_entry_that_nobody_translated_is_found(made: Catalog, string: str) -> None:
    """An empty one, and one that a merge only guessed."""
    made.delete("Usage:")
    made.add("Usage:", string, flags=["fuzzy"] if string else [])

    assert problems(made, KEYS) == ["not translated: 'Usage:'"]


@pytest.mark.parametrize("string", ["nenhum evento tem o número {numero}", "nenhum evento", "{number} {other}"])
def test_another_placeholder_is_found(made: Catalog, string: str) -> None:
    """It would show the English sentence, or lose a fact."""
    made["no event has the number {number}"].string = string

    assert problems(made, KEYS) == ["other placeholders than in English: 'no event has the number {number}'"]


def test_an_update_adds_new_texts_and_drops_old_ones(made: Catalog) -> None:
    """And leaves the others as they are."""
    catalogue.update(made, KEYS - {("Usage:", None)} | {("new", None)}, set())

    assert {str(entry.id): str(entry.string or "") for entry in made if entry.id} == {
        "no event has the number {number}": "nenhum evento tem o número {number}",
        "('{n} event', '{n} events')": "('{n} evento', '{n} eventos')",
        "new": "",
    }


def test_a_compiled_catalogue_that_is_older_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], made: Catalog
) -> None:
    """The bridge reads the compiled one."""
    place = tmp_path / "bridge" / "messages.po"
    place.parent.mkdir()
    place.write_bytes(catalogue._written(made))
    place.with_suffix(".mo").write_bytes(catalogue._compiled(made))
    monkeypatch.setattr(catalogue, "_PO", place)
    monkeypatch.setattr(catalogue, "_BRIDGE", place.parent)
    monkeypatch.setattr(catalogue, "texts", lambda: KEYS)
    monkeypatch.setattr(catalogue, "click_texts", set)
    assert catalogue.main(["check"]) == 0

    made["Usage:"].string = "Modo de usar:"
    place.with_suffix(".mo").write_bytes(catalogue._compiled(made))
    assert catalogue.main(["check"]) == 1
    assert "messages.mo is older than messages.po" in capsys.readouterr().err
    assert catalogue.main(["update"]) == 0
    assert catalogue.main(["check"]) == 0


def test_texts_of_code_templates_errors_and_help_are_found() -> None:
    """One of each kind."""
    found = {text for text, _context in catalogue.texts()}

    assert {"must be an https:// URL", "the port is in use"} <= found
    assert ("Usage:", None) in catalogue.click_texts()
    assert any(str(text).startswith("Bring the charges of an Asaas account") for text in found)


def test_a_text_in_an_f_string_is_found() -> None:
    """Babel finds no text there, so it would stay English without a word."""
    assert catalogue.hidden(
        "a = _('seen')\nb = f'{_(text)}'\nc = f'{x} {_('hidden')}'".replace("_('hidden')", '_("hidden")')
    ) == [3]


def test_texts_of_click_are_kept_and_not_asked_for(made: Catalog) -> None:
    """Another version of click has others; none of them may fail `make lint`."""
    catalogue.update(made, KEYS, {("Options", None)})
    made["Options"].string = "Opções"

    assert problems(made, KEYS) == []
    catalogue.update(made, KEYS, set())
    assert "Options" not in made


def test_numbers_are_written_with_a_comma_in_portuguese() -> None:
    """129.90 would be an English number; only a text about a file or a fixed format has a point there."""
    with_a_point = {
        str(entry.id)
        for entry in catalogue.read()
        for text in (entry.string if isinstance(entry.string, (tuple, list)) else (entry.string,))
        if entry.id and re.search(r"(?<![\w.])(?<!OFX )\d+\.\d{2}(?!\.?\d)", text or "")
    }

    assert with_a_point == {
        "A part for another wallet, such as WALLET:20% or WALLET:10.50; may be given several times.",
        "must be like WALLET:20% (1 to 100) or WALLET:10.50",
        "A split must be like WALLET:20% or WALLET:10.50.",
        "an amount that is not like -129.90",
        "this is never equal to {value}; {field} is a number, so write one, such as 50 or 129.90",
        "value takes a number such as 129.90, got {got}",
        "{operator} needs a number such as 50 or 129.90, got {got}{hint}",
    }
