"""The texts of the console that are chosen by a code: every code has one."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

import bridge
from bridge.alerts.plan import OVERLAP, UNHEARD
from bridge.errors import BridgeError
from bridge.journal import audit
from bridge.messages import LANGUAGES, N_, in_language
from bridge.model import DeliveryState, Outcome
from bridge.operations.accounts import Stored
from bridge.operations.bulk import BulkAction
from bridge.operations.explain import Unheard
from bridge.operations.reconcile import FIELDS
from bridge.web.console import events, layout, trail
from bridge.web.console.access import Role
from tests.unit.test_dead_letter import tree

BRIDGE = Path(bridge.__file__).parent


def trees(*places: str) -> Iterator[ast.AST]:
    """Return every node of these modules and packages of the bridge."""
    for place in places:
        path = BRIDGE / place
        modules = [path] if path.is_file() else list(path.rglob("*.py"))
        assert modules, place
        for module in modules:
            yield from ast.walk(ast.parse(module.read_text(encoding="utf-8")))


def texts_of(node: ast.AST) -> set[str]:
    """Return the texts in a piece of source."""
    return {one.value for one in ast.walk(node) if isinstance(one, ast.Constant) and isinstance(one.value, str)}


def calls(name: str, *places: str) -> Iterator[ast.Call]:
    """Return every call of a function or method of that name."""
    return calls_in(trees(*places), name)


def calls_in(nodes: Iterable[ast.AST], *names: str) -> Iterator[ast.Call]:
    """Return those of the nodes that call a function or method of one of these names."""
    for node in nodes:
        if isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", None)) in names:
            yield node


@cache
def actions() -> frozenset[str]:
    """Return every action that the audit trail is given."""
    web, operations = list(trees("web")), list(trees("operations"))
    given = [*calls_in((*web, *operations, *trees("journal", "cli")), "note", "_note")]
    passed_on = [one.value for node in web if isinstance(node, ast.Call) for one in node.keywords]
    action = re.compile(r"[a-z]+\.[a-z_]+")
    found = {text for node in given for one in node.args for text in texts_of(one) if action.fullmatch(text)}
    found |= {text for one in passed_on for text in texts_of(one) if re.fullmatch(r"mapping\.[a-z_]+", text)}
    found |= {"cause.seen", "cause.unseen"}  # chosen before it is noted
    found |= {
        f"{kind}.{done}" for kind in ("account", "destination") for done in Stored if done is not Stored.UNCHANGED
    }
    named = {one.id for node in given for one in node.args if isinstance(one, ast.Name)}
    for node in (one for one in operations if isinstance(one, ast.Assign)):
        if any(getattr(to, "id", "") in named for to in node.targets):
            found |= {text for text in texts_of(node) if action.fullmatch(text)}
    constants = {one.attr for node in given for one in node.args if isinstance(one, ast.Attribute)}
    found |= {str(getattr(audit, name)) for name in constants if name.isupper()}
    return frozenset(found | {f"bulk.{decision}" for decision in BulkAction})


@cache
def details() -> frozenset[str]:
    """Return every key of the facts that the audit trail is given: in the call, or in a dictionary that it names."""
    found: set[str] = set()
    modules = [one for place in ("web", "operations", "journal", "cli") for one in (BRIDGE / place).rglob("*.py")]
    for path in modules:
        functions = [
            one for one in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(one, ast.FunctionDef)
        ]
        for function in functions:
            for call in (one for one in ast.walk(function) if isinstance(one, ast.Call)):
                name = getattr(call.func, "attr", getattr(call.func, "id", ""))
                if name == "_note":
                    found |= {one.arg for one in call.keywords if one.arg}
                if name not in {"note", "_note"} or not call.args:
                    continue
                named = {name for part in call.args[2:] for name in _dictionaries(part)}
                made = [
                    one for one in ast.walk(function) if isinstance(one, ast.Assign | ast.AugAssign | ast.AnnAssign)
                ]
                facts = [one for one in functions if one.name in named]
                for part in (call, *(one for one in made if _targets(one) & named), *facts):
                    dicts = [one for one in ast.walk(part) if isinstance(one, ast.Dict)]
                    found |= {key.value for one in dicts for key in one.keys if isinstance(key, ast.Constant)}  # type: ignore[misc]
    return frozenset(found)


def _dictionaries(node: ast.AST) -> Iterator[str]:
    """Return the names of the dictionaries, or of the functions that make them, that an argument consists of."""
    if isinstance(node, ast.Name):
        yield node.id
    elif isinstance(node, ast.Call):
        yield from _dictionaries(node.func)
    elif isinstance(node, ast.IfExp):
        yield from (*_dictionaries(node.body), *_dictionaries(node.orelse))
    elif isinstance(node, ast.Dict):
        for key, value in zip(node.keys, node.values, strict=True):
            yield from _dictionaries(value) if key is None else ()


def _targets(node: ast.Assign | ast.AugAssign | ast.AnnAssign) -> set[str]:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    return {one.id for one in targets if isinstance(one, ast.Name)}


@cache
def causes() -> frozenset[str]:
    """Return every code under which a test charge that was not proved, or a webhook, says what is wrong."""
    code = re.compile(r"(webhook|public_url|bridge|trial)\.[a-z_]+")
    sources = ("operations/testcharge.py", "asaas/webhooks.py")
    found = {text for node in trees(*sources) for text in texts_of(node) if code.fullmatch(text)}
    return frozenset(found - {"bridge.error"})


@cache
def steps() -> frozenset[str]:
    """Return every step of a test charge; that of an event and of a delivery say what they are about instead."""
    sources = ("operations/testcharge.py", "web/console/testcharge.py")
    first = {text for node in calls("step", *sources) for one in node.args[:1] for text in texts_of(one)}
    named = (one for node in calls("_once", *sources) for one in node.keywords if one.arg == "code")
    found = first | {text for one in named for text in texts_of(one.value)} | {"waiting", "not_removed"}
    return frozenset(found - {"event", "delivery"})


@cache
def checks() -> frozenset[str]:
    """Return the code of every check that may say what fixes it."""
    made = [node.args[4] for node in calls("check", "operations/doctor.py") if len(node.args) > 4]
    return frozenset(text for one in made for text in texts_of(one) if text)


NEVER_ON_A_PAGE = re.compile(
    r"(webhook\.(?!token_not_known)|redis|port|process|demo|lane|person|filter|transform|stage|enrichment)\b.*"
    r"|console\.closed"
)
"""What the door answers a program, what ends a process, what is a delivery's reason, and what has its own page."""
ERRORS = {kind.code for kind in tree(BridgeError) if not NEVER_ON_A_PAGE.fullmatch(kind.code)}


def tables() -> Any:
    """Return the tables of `texts.html`."""
    environment = Flask("texts", template_folder=str(BRIDGE / "web" / "templates")).jinja_env
    environment.globals["N_"] = N_
    return environment.get_template("texts.html").module


CODES: dict[str, Iterable[str]] = {
    "ERRORS": ERRORS,
    "CAUSES": causes(),
    "UNHEARD": Unheard,
    "PERIODS": FIELDS,
    "DECISIONS": BulkAction,
}


@pytest.mark.parametrize("name", CODES)
def test_every_code_has_a_text(name: str) -> None:
    """A page would show the code, or nothing."""
    assert sorted(set(map(str, CODES[name])) - set(getattr(tables(), name))) == []


def test_every_page_that_fixes_a_check_is_of_a_code_that_checks_have() -> None:
    """One of another code would never be offered."""
    assert sorted(set(tables().CHECK_PAGES) - checks() - {UNHEARD, OVERLAP, "key.cut", "api.token"}) == []


def test_every_action_of_the_audit_trail_has_a_sentence() -> None:
    """And no sentence is of an action that nobody records."""
    assert sorted(actions() ^ set(trail.SENTENCES)) == []


def test_every_fact_of_the_audit_trail_has_words() -> None:
    """Or says nothing to a person, on purpose; a key would stand on the page."""
    assert sorted(details() - trail.WORDED - trail.SILENT) == []
    assert {"number", "role", "refused", "outcome", "was"} <= details()


def test_every_state_and_outcome_has_a_text() -> None:
    """Those of events, of deliveries, and of the list's filter."""
    assert {*DeliveryState, *events.STATES, "received", "held", "unmapped"} <= set(layout.STATES)
    assert set(events.OUTCOMES) == {*Outcome, "unknown"}
    assert {*Role} <= set(layout.ROLES)
    assert set(layout.AUTHORS) == set(layout.ROLES)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_sentence_may_begin_with_a_person_without_a_name(language: str) -> None:
    """In upper case; within a sentence in lower case, and a name as it was typed."""
    with in_language(language):
        for who in layout.AUTHORS:
            assert layout.author(who)[0].islower()
            assert layout.author(who, begins=True)[0].isupper()
        assert layout.author("ana", begins=True) == "ana"
