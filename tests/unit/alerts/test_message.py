"""What a message says, in both languages."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from bridge.alerts import plan as alert_plan
from bridge.alerts.plan import Area, Item, Kind, area_of, path_of
from bridge.alerts.send import MAX_PROBLEMS, compose, trial
from bridge.asaas.webhooks import CODES, KEY_REFUSED
from bridge.cli.main import cli
from bridge.journal.causes import anchor
from bridge.journal.notices import Alert
from bridge.messages import LANGUAGES, Message
from bridge.operations.read_back import NOT_SEEN
from bridge.pipeline.account_events import RULES
from bridge.pipeline.deals import DOUBLED
from bridge.reasons import WORDS
from bridge.settings import Settings
from bridge.worker.sweeper import FAILING
from bridge.worker.tasks import MISSING
from tests.documents import command_faults
from tests.factories import NOW_MS

PT, EN = LANGUAGES.values()
ROOT = Path(__file__).parents[3]


def item(kind: Kind = Kind.NEW, code: str = "delivery.dead", about: str = "default") -> Item:
    """Return something to tell."""
    facts = {"number": 12, "reasons": "clint.http_422 ×12"}
    detail = Message("deliveries that need a person: {number} ({reasons})", facts).to_json()
    return Item(kind, Alert(code, about, "warning", detail, "fix it", NOW_MS, NOW_MS))


def test_a_message_in_portuguese() -> None:
    """What, about what, since when in Brasília, the facts, what to do, and where its card is."""
    message = compose([item()], PT, "https://bridge.example")

    assert message.title == "Ponte Asaas–Clint: 1 problema"
    assert message.body == (
        "NOVO\n"
        "• Entregas que precisam de uma decisão (default), desde 18/11 08:06\n"
        "  detalhe: entregas que precisam de uma decisão: 12 (clint.http_422 ×12)\n"
        "  Veja os motivos em Precisa de atenção e decida.\n"
        f"  https://bridge.example/attention#{anchor('delivery.dead', 'default')}\n"
        "  Pelo terminal: Veja o motivo em `bridge deliveries list --state dead` e decida."
    )


@pytest.mark.parametrize("public_url", ["", "https://bridge.example"])
def test_a_message_names_the_page_before_any_command(public_url: str) -> None:
    """Who has only the console is told where to go in it, with a link or without."""
    for code, words in WORDS.items():
        first, terminal, _command = compose([item(code=code)], EN, public_url).body.partition("On a terminal: ")
        assert words.in_console in first
        assert "`" not in first
        assert bool(terminal) is bool(words.page)


def test_in_the_console_no_command_is_named() -> None:
    """A person there has a page for it."""
    assert [code for code, words in WORDS.items() if "`" in words.in_console] == []


def test_a_message_in_english() -> None:
    """New problems, those that last, and what is over, under headings."""
    said = [item(), item(Kind.AGAIN, "destination.paused"), item(Kind.OVER, "account.silent")]
    message = compose(said, EN)

    assert message.title == "Asaas–Clint bridge: 2 problems"
    assert re.findall(r"^[A-Z ]+$", message.body, re.MULTILINE) == ["NEW", "STILL OPEN", "BACK TO NORMAL"]
    assert "• No event from Asaas for unusually long (default), from 2026-11-18 08:06 (Brasília) until" in message.body


def test_a_message_that_is_good_news() -> None:
    """Its title says so."""
    assert compose([item(Kind.OVER)], PT).title == "Ponte Asaas–Clint: voltou ao normal"


def test_a_long_message_is_cut() -> None:
    """Services cut what is longer than some thousand characters, in the middle of a word."""
    body = compose([item(about=f"d{number}") for number in range(MAX_PROBLEMS + 5)], EN).body

    assert body.count("•") == MAX_PROBLEMS
    assert body.endswith("and 5 more: see Needs attention in the console")
    many = [item(about=f"d{number}") for number in range(MAX_PROBLEMS + 5)]
    assert compose(many, EN, "https://bridge.example").body.endswith("and 5 more: https://bridge.example/attention")


def test_an_unknown_problem_has_its_own_words() -> None:
    """A notice of a later version says what it says in English."""
    body = compose([item(code="new.code")], PT).body

    assert "• new.code (default)" in body
    assert body.endswith("fix it")


@pytest.mark.parametrize(("language", "title"), [(PT, "teste"), (EN, "test")])
def test_a_trial_says_that_it_is_one(language: str, title: str) -> None:
    """Nobody is to be woken by it."""
    message = trial(language)

    assert message.title.endswith(f": {title}")
    assert message.body


def test_every_problem_has_words() -> None:
    """Whatever raises a notice can be told."""
    raised = {
        *CODES,
        DOUBLED,
        FAILING,
        KEY_REFUSED,
        MISSING,
        NOT_SEEN,
        *alert_plan.CODES,
        *(rule.code for rule in RULES.values()),
    }

    assert raised == set(WORDS)


def test_every_notice_is_among_them() -> None:
    """A code of a notice that is raised elsewhere would have no words: each `Notice(...)` is in a module known here."""
    makers = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "bridge").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Notice"
    }

    assert makers == {
        "bridge/alerts/plan.py",
        "bridge/pipeline/account_events.py",
        "bridge/pipeline/deals.py",
        "bridge/operations/read_back.py",
        "bridge/operations/webhooks.py",
        "bridge/worker/tasks.py",
        "bridge/worker/sweeper.py",
    }


def test_every_problem_has_its_kind_and_its_page() -> None:
    """A receiver chooses by kind; a code of a new family would go to those who chose the bridge itself."""
    kinds = {code: area_of(code) for code in WORDS}
    of_bridge = {"events.behind", "task.failing", "alerts.failing"}

    assert {code for code, kind in kinds.items() if kind is Area.BRIDGE} == of_bridge
    assert set(kinds.values()) == set(Area)
    assert path_of("webhook.token", "a/b") == "/connections/a%2Fb/webhook"
    assert all(path_of(code, "default").startswith("/") for code in WORDS)


def test_the_commands_that_are_named_exist() -> None:
    """Whoever is told gets commands that run."""
    said = {words.todo for words in WORDS.values()}
    fences = "\n".join(f"```bash\n{line}\n```" for todo in said for line in re.findall("`([^`]+)`", todo))

    assert command_faults(fences.replace("destinations resume", "destinations resume x"), "words.py", cli, "") == []


def test_the_languages_are_those_of_the_setting() -> None:
    """Portuguese, unless somebody wants it otherwise."""
    assert Settings.from_env({}).bridge_language == PT
    assert [Settings.from_env({"BRIDGE_LANGUAGE": one}).bridge_language for one in (PT, EN)] == [PT, EN]
