"""Which objects to fetch for what the mappings name."""

from __future__ import annotations

import pytest

from bridge.pipeline.enrich import explain_path, plan


@pytest.mark.parametrize(
    ("needs", "references", "wanted"),
    [
        (set(), {"customer": "c"}, {}),
        ({"customer"}, {"customer": "c", "installment": "i"}, {"customer": "c"}),
        ({"customer"}, {"customer": "", "installment": ""}, {}),
        ({"customer"}, {"payment": "p"}, {"payment": "p", "customer": ""}),
        ({"customer"}, {"subscription": "s"}, {"subscription": "s", "customer": ""}),
        ({"customer"}, {"installment": "i"}, {"installment": "i", "customer": ""}),
        ({"customer", "subscription"}, {"payment": "p"}, {"payment": "p", "customer": "", "subscription": ""}),
        ({"customer", "payment"}, {"payment": "p"}, {"payment": "p", "customer": ""}),
        ({"payment"}, {"customer": "c"}, {}),
        ({"coisa"}, {"payment": "p"}, {}),
    ],
)
def test_what_is_needed_is_wanted_and_what_leads_to_it(
    needs: set[str], references: dict[str, str], wanted: dict[str, str]
) -> None:
    """Needed names that the event points to come directly, the others by way of an object that carries their id."""
    assert plan(needs, references) == wanted


@pytest.mark.parametrize(
    ("fetched", "object_id"),
    [
        ({"payment": {"customer": "c"}}, "c"),
        ({"payment": {"customer": None}, "installment": {"customer": "c2"}}, "c2"),
        ({"payment": None}, ""),
        ({"payment": {"customer": {"id": "c"}}}, ""),
        ({"customer": {"customer": "c"}}, ""),
        ({}, ""),
    ],
)
def test_an_id_is_read_from_what_was_fetched(fetched: dict[str, object], object_id: str) -> None:
    """Only objects that are known to carry ids of others are looked into."""
    assert explain_path("customer", fetched) == object_id
