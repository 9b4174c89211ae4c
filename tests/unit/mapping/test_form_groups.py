"""Any filter of the language as a form and back: it means the same, and no comment is lost."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.mapping.document import read_document
from bridge.mapping.findings import Findings
from bridge.mapping.form import KINDS, Form, Row, read_form, write_form
from bridge.mapping.model import Comparison, Condition
from bridge.mapping.parser import build_condition

Tree = tuple[str, object]
"""The name of a leaf, or a kind with what is inside of it."""

LEAVES = st.sampled_from("abcdef").map(lambda name: ("leaf", name))
TREES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.tuples(st.sampled_from(("all", "any")), st.lists(inner, min_size=1, max_size=3)),
        st.tuples(st.just("not"), inner),
    ),
    max_leaves=8,
)


class Writer:
    """Writes a tree as YAML, in braces or on lines, with a comment wherever one may stand."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw
        self.comments = 0

    def comment(self) -> str:
        """Return a comment of its own number, or nothing."""
        if self.draw(st.integers(0, 2)):
            return ""
        self.comments += 1
        return f" # c{self.comments}."

    def above(self, indent: str) -> str:
        """Return a line with a comment, or none."""
        said = self.comment()
        return f"{indent}{said.strip()}\n" if said else ""

    def flow(self, tree: Tree) -> str:
        """Return a condition in braces."""
        kind, inner = tree
        if kind == "leaf":
            return f"{{field: payment.{inner}, equals: '1'}}"
        if kind == "not":
            return f"{{not: {self.flow(inner)}}}"  # type: ignore[arg-type]
        return f"{{{kind}: [{', '.join(self.flow(one) for one in inner)}]}}"  # type: ignore[attr-defined]

    def block(self, tree: Tree, indent: str) -> str:
        """Return the lines of a condition, the first one without its indentation."""
        kind, inner = tree
        if self.draw(st.integers(0, 3)) == 0:
            return f"{self.flow(tree)}{self.comment()}\n"
        if kind == "leaf":
            return f"field: payment.{inner}{self.comment()}\n{self.above(indent)}{indent}equals: '1'{self.comment()}\n"
        said = f"{kind}:{self.comment()}\n"
        deeper = indent + "  "
        if kind == "not":
            return f"{said}{self.above(deeper)}{deeper}{self.block(inner, deeper)}"  # type: ignore[arg-type]
        for one in inner:  # type: ignore[attr-defined]
            said += f"{self.above(deeper)}{deeper}- {self.block(one, deeper + '  ')}"
        return said


@st.composite
def texts(draw: st.DrawFn) -> str:
    """Make mappings with a filter."""
    writer = Writer(draw)
    filter_ = writer.block(draw(TREES), "  ")
    return (
        f"events: [PAYMENT_RECEIVED]\nfilter:{writer.comment()}\n{writer.above('  ')}  {filter_}"
        "contact: {email: customer.email}\n"
    )


def condition_of(text: str, key: str = "") -> Condition:
    """Return the condition of a text, or of the text's filter."""
    findings = Findings("")
    node = read_document(text, findings)
    if key:
        node = next(value for one, value in node.pairs if one.text == key)  # type: ignore[union-attr]
    condition = build_condition(node, findings)  # type: ignore[arg-type]
    assert condition is not None, (text, findings.in_order())
    return condition


def holds(condition: Condition, truths: Mapping[str, bool]) -> bool:
    """Say whether a condition of the language holds."""
    if isinstance(condition, Comparison):
        return truths[condition.expression.text.removeprefix("payment.")]
    inner = [holds(one, truths) for one in condition.conditions]
    return {"all": all(inner), "any": any(inner), "not": not inner[0]}[condition.kind]


def shows(row: Row, truths: Mapping[str, bool]) -> bool:
    """Say whether a row holds, by what a person reads there."""
    if row.block:
        return holds(condition_of(row.block), truths)
    if not row.group:
        return truths[row.field.removeprefix("payment.")]
    inner = [shows(one, truths) for one in row.rows]
    return {"all": all(inner), "any": any(inner), "none": not any(inner), "not_all": not all(inner)}[row.group]


def whole(form: Form) -> Row:
    """Return the conditions of a form as one group."""
    return Row(group=form.together, rows=form.rows)


def assert_same(text: str, form: Form) -> None:
    """Hold a text against what a form shows, for every way in which the fields may be."""
    condition = condition_of(text, "filter")
    for values in itertools.product((False, True), repeat=7):
        truths = dict(zip("abcdefz", values, strict=True))
        assert holds(condition, truths) is shows(whole(form), truths), (truths, text)


def comments(text: str) -> list[str]:
    """Return the comments of a text."""
    return sorted(re.findall(r"# c\d+\.", text))


FRESH = Row("payment.z", "equals", ("1",))


def places(rows: tuple[Row, ...], at: tuple[int, ...] = ()) -> list[tuple[int, ...]]:
    """Return the place of each row."""
    found = []
    for n, row in enumerate(rows):
        found += [(*at, n), *places(row.rows, (*at, n))]
    return found


def changed(row: Row, at: tuple[int, ...], draw: st.DataObject) -> Row | None:
    """Return a row that is changed as a person would do it; None where it is taken away."""
    if at:
        inner = changed(row.rows[at[0]], at[1:], draw)
        rows = (*row.rows[: at[0]], *((inner,) if inner else ()), *row.rows[at[0] + 1 :])
        return replace(row, rows=rows) if rows else None
    if row.group:
        what = draw.draw(st.sampled_from(("more", "kind", "both")))
        more = (FRESH,) if what != "kind" else ()
        kind = draw.draw(st.sampled_from(tuple(KINDS))) if what != "more" else row.group
        return replace(row, group=kind, rows=(*row.rows, *more))
    if row.block:
        return row
    what = draw.draw(st.sampled_from(("field", "group")))
    if what == "field":
        return replace(row, field="payment.z")
    kind = draw.draw(st.sampled_from(tuple(KINDS)))
    return Row(group=kind, rows=(replace(row, place=0), FRESH), place=row.place)


@given(texts())
@settings(deadline=None, max_examples=60)
def test_any_filter_is_shown_as_it_is_meant(text: str) -> None:
    """And the form that nobody changes gives the same bytes."""
    form = read_form(text)

    assert_same(text, form)
    assert write_form(text, form) == text


@given(texts(), st.data())
@settings(deadline=None, max_examples=100)
def test_a_change_means_what_the_form_shows_and_loses_no_comment(text: str, data: st.DataObject) -> None:
    """A row more, another field, another kind of a group, a row that becomes a group: one after the other."""
    before = comments(text)
    for _ in range(data.draw(st.integers(1, 3))):
        form = read_form(text)
        at = data.draw(st.sampled_from(places(form.rows)))
        if len(at) > 2:
            at = at[:2]  # a group that is made there would be too deep
        top = changed(whole(form), at, data)
        assert top is not None
        form = replace(form, rows=top.rows)
        text = write_form(text, form)

        assert_same(text, form)
        assert comments(text) == before


@given(texts(), st.data())
@settings(deadline=None, max_examples=60)
def test_a_row_that_is_taken_away_leaves_the_others(text: str, data: st.DataObject) -> None:
    """Its group goes with the last one."""
    form = read_form(text)
    at = data.draw(st.sampled_from([one for one in places(form.rows) if one]))

    def without(rows: tuple[Row, ...], at: tuple[int, ...]) -> tuple[Row, ...]:
        row, inner = rows[at[0]], without(rows[at[0]].rows, at[1:]) if at[1:] else ()
        kept = (replace(row, rows=inner),) if inner else ()
        return (*rows[: at[0]], *kept, *rows[at[0] + 1 :])

    form = replace(form, rows=without(form.rows, at))
    after = write_form(text, form)

    if form.rows:
        assert_same(after, form)
    else:
        assert "filter:" not in after
