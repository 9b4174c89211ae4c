"""Every reason code that the bridge may write into the journal is explained."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import bridge
from bridge import reasons
from bridge.errors import AsaasRejected, BridgeError, EnrichmentWaits, MappingRefused, StageError
from bridge.mapping.evaluate import REASONS
from bridge.messages import in_language

CODE = re.compile(r"(deal|filter|transform|stage|asaas|clint|attempt|delivery|destination|event|bridge)\.[a-z_]*[a-z]")
WRITERS = (
    "pipeline",
    "mapping/evaluate.py",
    "clint",
    "journal",
    "operations/actions.py",
    "operations/backfill.py",
    "operations/proof.py",
    "operations/reconcile.py",
)
"""What decides or writes a delivery's, an attempt's or a held event's code."""


def _notes(called: ast.expr) -> bool:
    """Say whether a call writes a log record or an entry of the audit trail, or is a point where tests kill."""
    if isinstance(called, ast.Name):
        return called.id in {"_note", "failpoint"}
    return isinstance(called, ast.Attribute) and isinstance(called.value, ast.Name) and called.value.id == "log"


def codes_in(source: str) -> set[str]:
    """Return the codes among the texts of a module, except the actions of log records and of the audit trail."""
    tree = ast.parse(source)
    logged = {
        id(argument)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and _notes(node.func)
        for argument in node.args
    }
    return {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and id(node) not in logged
        and CODE.fullmatch(node.value)
    }


def written_codes() -> set[str]:
    """Return every code that the source may write."""
    package = Path(bridge.__file__).parent
    paths = [path for name in WRITERS for path in (package / name, *package.glob(f"{name}/**/*.py"))]
    # What a diagnosis or a notice names is explained where it is named, and stands in no delivery.
    elsewhere = {"queries.py"}
    sources = [path.read_text() for path in paths if path.is_file() and path.name not in elsewhere]
    return {code for source in sources for code in codes_in(source)}


def tree(kind: type[BridgeError]) -> Iterator[type[BridgeError]]:
    """Return an error class and all below it."""
    yield kind
    for child in kind.__subclasses__():
        yield from tree(child)


def test_every_code_in_the_source_is_explained() -> None:
    """No module writes a code that an operator would not understand, and none is explained in vain."""
    kinds = (StageError, EnrichmentWaits, AsaasRejected, MappingRefused)
    # Of these two only the kinds are raised.
    errors = {cls.code for kind in kinds for cls in tree(kind)} - {StageError.code, EnrichmentWaits.code}
    of_notices = set(reasons.WORDS) - set(reasons.REASONS)
    written = written_codes() - of_notices | errors | set(REASONS)

    assert {code for code in reasons.REASONS if not code.startswith("clint.http_")} == written


def test_the_search_finds_a_planted_code() -> None:
    """The search sees a code that is written, and not one that is only logged."""
    assert codes_in('log.info("delivery.logged")\nstep(code="delivery.planted")') == {"delivery.planted"}


@pytest.mark.parametrize(
    ("code", "means", "todo"),
    [
        ("clint.http_400", "can't read", "compare the payload"),
        ("clint.http_401", "does not let the bridge in", "copy the integration's URL"),
        ("clint.http_418", "refused it", "look at its answer"),
        ("clint.http_408", "a fault of its own", ""),
        ("clint.http_425", "a fault of its own", ""),
        ("clint.http_429", "slow down", ""),
        ("clint.http_599", "a fault of its own", ""),
        ("transform.no_contact", "neither an e-mail nor a phone", "fill in one of them"),
    ],
)
def test_codes_of_answers_are_explained(code: str, means: str, todo: str) -> None:
    """Every HTTP status has a meaning, and where a person must act, what to do."""
    said = reasons.explain(code)

    assert said is not None
    assert means in said.means
    assert todo in said.todo


@pytest.mark.parametrize("code", [None, "nobody.knows", "clint.http_50"])
def test_an_unknown_code_is_not_explained(code: str | None) -> None:
    """An old journal may hold a code that this version does not know."""
    assert reasons.explain(code) is None


@pytest.mark.parametrize("language", ["en", "pt"])
def test_sentences_are_in_the_house_style(language: str) -> None:
    """Lower case, no full stop, nothing empty but what needs no action."""
    with in_language(language):
        for code, known in reasons.REASONS.items():
            means, cause, todo, _then = known.translated()
            assert means, code
            for text in (means, cause, todo):
                assert not text.endswith("."), code
                assert not text or text[0].islower() or text.startswith(("Asaas", "Clint")), code


def test_a_finding_about_a_deal_is_read_in_both_languages() -> None:
    """From the facts that the journal keeps; a sentence of an older version stays as it stands."""
    facts = '{"code": "deal.other_status", "stage": "Paga", "status": "LOST", "wanted": "WON"}'

    assert reasons.deal_said(facts).endswith("(stage Paga, status Lost, expected Won)")
    with in_language("pt"):
        assert reasons.deal_said(facts).endswith("(etapa Paga, status Perdido, esperado: Ganho)")
        assert reasons.deal_said("an old sentence") == "an old sentence"
    assert reasons.deal_said(None) == ""
