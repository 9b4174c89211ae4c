"""Texts in the reader's language: the catalogue, the language of the moment, and the messages that rows keep."""

from __future__ import annotations

import errno
import json
import logging
import socket
import threading
from pathlib import Path

import pytest

from bridge.messages import (
    Message,
    _,
    current_language,
    in_language,
    language_of_environment,
    message,
    ngettext,
    read_message,
    system_reason,
    use_language,
)

PORT = "must be a whole number from {least} to {most}"
EVENTS = ("{n} problem", "{n} problems")


@pytest.mark.parametrize(
    ("environ", "language"),
    [
        ({}, "pt"),
        ({"LANG": "C.UTF-8"}, "pt"),
        ({"LC_ALL": "POSIX", "LANG": "en_US.UTF-8"}, "en"),
        ({"LANG": "pt_BR.UTF-8"}, "pt"),
        ({"LANG": "de_DE.UTF-8"}, "pt"),
        ({"LC_MESSAGES": "en_GB", "LANG": "pt_BR"}, "en"),
        ({"BRIDGE_LANGUAGE": "pt-BR", "LC_ALL": "en_US"}, "pt"),
        ({"BRIDGE_LANGUAGE": "en", "LANG": "pt_BR"}, "en"),
    ],
)
def test_a_command_speaks_the_language_of_its_environment(environ: dict[str, str], language: str) -> None:
    """BRIDGE_LANGUAGE before the locale, and Portuguese where neither names one of the two."""
    assert language_of_environment(environ) == language


@pytest.mark.parametrize("name", ["pt", "pt-BR", "pt_BR", "PT", "fr"])
def test_the_portuguese_of_a_text_is_in_the_catalogue(name: str) -> None:
    """Any name of the language will do; one that the bridge does not speak is Portuguese."""
    with in_language(name):
        assert _(PORT, least=0, most=9) == "precisa ser um número inteiro de 0 a 9"
    assert _(PORT, least=0, most=9) == "must be a whole number from 0 to 9"


def test_a_number_chooses_the_form_and_is_written_as_the_language_writes_it() -> None:
    """Both languages count nought as many, and Portuguese separates thousands with dots."""
    assert [ngettext(*EVENTS, n) for n in (0, 1, 1234)] == ["0 problems", "1 problem", "1,234 problems"]
    with in_language("pt"):
        assert [ngettext(*EVENTS, n) for n in (0, 1, 1234)] == ["0 problemas", "1 problema", "1.234 problemas"]


def test_a_text_without_an_entry_is_english() -> None:
    """No page and no command fails because of a text."""
    with in_language("pt"):
        assert _("nobody has translated {thing}", thing="this") == "nobody has translated this"
        assert Message("").text() == ""


@pytest.mark.parametrize("text", ["{other}", "{fact:d}", "{fact", "{fact.x}", "{0}"])
def test_a_placeholder_that_can_not_be_filled_is_logged_and_never_raises(
    text: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The text is shown as it stands."""
    with caplog.at_level(logging.ERROR):
        assert _(text, fact="x") == text
    assert "messages.not_filled" in caplog.text


def test_text_without_facts_is_never_filled() -> None:
    """What looks like a placeholder in somebody's text stays."""
    assert Message("got {x}").text() == "got {x}"
    assert read_message("got {x}").text() == "got {x}"


def test_a_message_within_a_message_speaks_the_same_language() -> None:
    """Its logs and `--json` are English, wherever it is read."""
    outer = message("{name} {rule}, got {value}", name="PORT", rule=message(PORT, least=0, most=9), value="'x'")

    with in_language("pt"):
        assert outer.text().startswith("PORT precisa ser um número inteiro de 0 a 9")
        assert str(outer) == "PORT must be a whole number from 0 to 9, got 'x'"


def test_a_row_keeps_the_message_with_its_facts() -> None:
    """Read again, it is the same; what JSON does not know is kept as text."""
    outer = message("{a} {b} {c} {d}", a=message(PORT, least=0, most=9), b=None, c=1.5, d=True)

    assert read_message(outer.to_json()) == outer
    assert json.loads(message("{x}", x=Path("a/b")).to_json()) == {"message": "{x}", "x": "a/b"}


@pytest.mark.parametrize("text", ["an old sentence", '{"code": "deal.seen"}', "[1]", '"x"', "17", '{"message": 3}'])
def test_a_sentence_of_an_older_version_stays_as_it_stands(text: str) -> None:
    """Also where it happens to be JSON."""
    with in_language("pt"):
        assert read_message(text).text() == text


def test_an_empty_column_is_no_text() -> None:
    """And no message, in a condition."""
    assert [read_message(text).text() for text in (None, "")] == ["", ""]
    assert not read_message(None)
    assert message(PORT, least=1, most=2)


def test_a_new_thread_speaks_english() -> None:
    """Its logs must not change with the reader that started it; its own choice ends with it."""
    spoken: list[str] = []

    def run() -> None:
        spoken.append(current_language())
        use_language("pt-BR")
        spoken.append(current_language())

    with in_language("pt"):
        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        assert current_language() == "pt"
    assert spoken == ["en", "pt"]
    assert current_language() == "en"


def test_the_reasons_of_the_system_are_said_in_the_readers_language() -> None:
    """Whatever Python adds to them; an unknown one stands as it came, and so does a failed look-up of a name."""
    with pytest.raises(FileNotFoundError) as missing:
        Path("/nowhere/at/all").read_text()
    refused = OSError(errno.ECONNREFUSED, "Connect call failed ('127.0.0.1', 1)")
    unknown = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    reasons = [system_reason(one) for one in (missing.value, refused, unknown, OSError("Odd"))]
    with in_language("pt"):
        texts = [one.text() for one in reasons]

    assert str(reasons[0]) == "no such file or directory"
    assert str(reasons[1]) == "connection refused"
    assert texts == ["arquivo ou pasta não encontrado", "conexão recusada", "nome de máquina desconhecido", "odd"]
