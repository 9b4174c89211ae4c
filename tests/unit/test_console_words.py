"""The words of the console: both languages have all of them, and pages use no other."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from string import Formatter

import pytest
from structlog.testing import capture_logs

from bridge.asaas.charges import BILLING_TYPES
from bridge.errors import BridgeError
from bridge.journal import audit
from bridge.model import DeliveryState, NoticeLevel, Origin, Outcome, ReadBack, Waiting
from bridge.operations.actions import BulkAction
from bridge.operations.doctor import State as CheckState
from bridge.operations.explain import Unheard
from bridge.operations.reconcile import FIELDS, Verdict
from bridge.pipeline.policy import Circuit
from bridge.web.console.access import Role
from bridge.web.console.events import STATES
from bridge.web.console.jobs import HOME
from bridge.web.console.words import FILES, LANGUAGES, Words, table
from tests.unit.test_dead_letter import tree

WEB = FILES.parent
SOURCES = sorted([*(WEB / "templates").rglob("*.html"), *(WEB / "console").rglob("*.py")])
USED = re.compile(r"""(?:\bt|\bwords\(\)|\bsaid|\btext)\(\s*"([a-z_0-9]+\.[a-zA-Z_0-9.]+)"(?!\s*~)""")
COUNTED = re.compile(r"""(?:\btn|\.count)\(\s*"([a-z_0-9]+\.[a-z_0-9.]+)"(?!\s*~)""")


def names(text: str) -> set[str]:
    """Return the names of the values that stand in a text."""
    return {name for _, name, _, _ in Formatter().parse(text) if name is not None}


@pytest.mark.parametrize("key", sorted(table()))
def test_a_key_has_a_text_in_every_language_with_the_same_values(key: str) -> None:
    """A text that lacks a value in one language would say less there; an empty one nothing."""
    texts = table()[key]

    assert set(texts) == set(LANGUAGES)
    assert all(text and text.strip() == text for text in texts.values())
    assert len({frozenset(names(text)) for text in texts.values()}) == 1


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
def test_pages_use_known_words_only(source: Path) -> None:
    """A key that nobody wrote would break the page in which it stands."""
    text = source.read_text(encoding="utf-8")
    counted = {f"{key}.{number}" for key in COUNTED.findall(text) for number in ("one", "many")}

    assert sorted(({*USED.findall(text)} | counted) - set(table())) == []


def test_numbers_choose_the_text_and_are_written_as_people_write_them() -> None:
    """Portuguese counts nought as one does, English does not."""
    assert [Words("en").count("nav.waiting", n) for n in (0, 1, 1234)] == [
        "0 items need a person",
        "1 item needs a person",
        "1,234 items need a person",
    ]
    assert [Words("pt").count("nav.waiting", n) for n in (0, 1, 1234)] == [
        "0 item precisa de alguém",
        "1 item precisa de alguém",
        "1.234 itens precisam de alguém",
    ]


def test_a_text_may_be_missing_where_asaas_decides() -> None:
    """An event that Asaas invents tomorrow has no words of ours."""
    assert Words("en").maybe("signin.title") == "Sign in"
    assert Words("en").maybe("signin.nothing", "as it is") == "as it is"


# ---------------------------------------------------------------- every member of every enumeration


def trees(*places: str) -> Iterator[ast.AST]:
    """Return every node of these modules and packages of the bridge."""
    for place in places:
        path = WEB.parent / place
        for module in [path] if path.is_file() else path.rglob("*.py"):
            yield from ast.walk(ast.parse(module.read_text(encoding="utf-8")))


def texts_of(node: ast.AST) -> set[str]:
    """Return the texts in a piece of source."""
    return {one.value for one in ast.walk(node) if isinstance(one, ast.Constant) and isinstance(one.value, str)}


def calls(name: str, *places: str) -> Iterator[ast.Call]:
    """Return every call of a function or method of that name."""
    for node in trees(*places):
        if isinstance(node, ast.Call) and name == getattr(node.func, "attr", getattr(node.func, "id", None)):
            yield node


def actions() -> set[str]:
    """Return every action that the audit trail is given."""
    given = [node for name in ("note", "_note") for node in calls(name, "web", "recovery", "tenants", "journal", "cli")]
    found = {text for node in given for argument in node.args for text in texts_of(argument) if "." in text}
    named = {argument.id for node in given for argument in node.args if isinstance(argument, ast.Name)}
    for node in (one for one in trees("tenants") if isinstance(one, ast.Assign)):
        if any(getattr(to, "id", "") in named for to in node.targets):
            found |= texts_of(node)
    constants = {argument.attr for node in given for argument in node.args if isinstance(argument, ast.Attribute)}
    found |= {str(getattr(audit, name)) for name in constants if name.isupper()}
    return {one for one in found if not one.endswith(".")} | {f"bulk.{decision}" for decision in BulkAction}


def causes() -> set[str]:
    """Return every code under which a test charge that was not proved, or a webhook, says what is wrong."""
    code = re.compile(r"(webhook|public_url|bridge|trial)\.[a-z_]+")
    sources = ("recovery/diagnosis.py", "asaas/webhook_rules.py", "workbench/trial_run.py")
    return {text for node in trees(*sources) for text in texts_of(node) if code.fullmatch(text)}


def steps() -> set[str]:
    """Return every step of a test charge; that of an event and of a delivery say what they are about instead."""
    sources = ("workbench/trial_run.py", "web/console/trial_task.py")
    first = {text for node in calls("step", *sources) for one in node.args[:1] for text in texts_of(one)}
    named = (one for node in calls("_once", *sources) for one in node.keywords if one.arg == "code")
    return (first | {text for one in named for text in texts_of(one.value)} | {"waiting", "not_removed"}) - {
        "event",
        "delivery",
    }


def checks() -> set[str]:
    """Return the code of every check that may say what mends it."""
    made = [node.args[4] for node in calls("Check", "workbench") if len(node.args) > 4]
    return {text for one in made for text in texts_of(one) if text}


NEVER_ON_A_PAGE = re.compile(
    r"(webhook\.(?!token_not_known)|redis|port|process|demo|lane|person|filter|transform|stage|enrichment)\b.*"
    r"|console\.closed"
)
"""What the door answers a program, what ends a process, what is a delivery's reason, and what has its own page."""
ERRORS = {kind.code for kind in tree(BridgeError) if not NEVER_ON_A_PAGE.fullmatch(kind.code)}

SAID: dict[str, Iterable[str]] = {
    "states.{}": [*DeliveryState, *Waiting, *STATES, "received", "held", "unmapped"],
    "job.state.{}": DeliveryState,
    "events.outcome.{}": Outcome,
    "events.deal.{}": ReadBack,
    "events.origin.{}": Origin,
    "events.{}": Unheard,
    "attention.level.{}": NoticeLevel,
    "attention.{}": BulkAction,
    "attention.confirm.{}": BulkAction,
    "attention.confirm.{}.lead": BulkAction,
    "attention.confirm.yes.{}.one": BulkAction,
    "overview.destination.{}": [*Circuit, "paused", "not_set"],
    "job.kind.{}": HOME,
    "job.home.{}": {home.split(".")[1] for home in HOME.values()},
    "reconcile.verdict.{}": Verdict,
    "reconcile.by.{}": FIELDS,
    "trial.billing_type.{}": BILLING_TYPES,
    "trial.step.{}": steps(),
    "trial.cause.{}": causes(),
    "trial.mend.{}": causes(),
    "checks.state.{}": CheckState,
    "checks.mend.{}": checks(),
    "nav.role.{}": Role,
    "who.role.{}": Role,
    "who.action.{}": actions(),
    "errors.{}.title": ERRORS,
    "errors.{}.lead": ERRORS,
}
"""Every key that is made of a code, with every code that there is."""


@pytest.mark.parametrize(("pattern", "member"), [(key, str(one)) for key, all_ in SAID.items() for one in sorted(all_)])
def test_every_member_of_every_enumeration_has_a_sentence(pattern: str, member: str) -> None:
    """In every language, since a key has all of them; a page would show the code."""
    assert pattern.format(member) in table()


def test_a_missing_sentence_shows_its_code() -> None:
    """A page never fails for want of one; the log says which."""
    with capture_logs() as logs:
        shown = Words("pt")("events.outcome.made_tomorrow")

    assert shown == "outcome.made_tomorrow"
    assert [(one["event"], one["key"]) for one in logs] == [("words.missing", "events.outcome.made_tomorrow")]
