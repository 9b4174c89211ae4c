"""The rules of a webhook's token, and the tokens that the bridge makes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.asaas.webhooks import generate, has_sequence, problem
from bridge.simulator.asaas.webhooks import token_problem

UUID = "5a4f0c1e-7b3d-4e8f-9a6c-b2d1f0e3c7a8"


@pytest.mark.parametrize(
    ("token", "said"),
    [
        (UUID, None),
        ("x9" * 16, None),
        ("x9" * 127 + "x", None),
        ("x9" * 15 + "x", "32 to 255 characters, got 31"),
        ("x9" * 128, "32 to 255 characters, got 256"),
        ("x9" * 16 + " x", "white space"),
        ("x9" * 16 + "\n", "white space"),
        ("$aact_hmlg_" + "x9" * 16, "API key"),
        ("x9" * 16 + "cccc", "four times"),
        ("x9" * 16 + "cCcC", "four times"),
        ("x9" * 16 + "ccc", None),
        ("x9" * 16 + "7777", None),
        ("x9" * 16 + "a12345", "12345"),
        ("x9" * 16 + "a54321", "12345"),
        ("x9" * 16 + "a1234", None),
    ],
)
def test_each_rule_has_its_words(token: str, said: str | None) -> None:
    """A token that Asaas refuses is refused here, with the rule and never the token."""
    found = problem(token)

    assert (found is None) is (said is None)
    assert said is None or (said in str(found) and token not in str(found))


@pytest.mark.parametrize(
    ("text", "length"), [("", 0), ("abc", 0), ("7", 1), ("77", 1), ("121", 2), ("98 765", 3), ("2123", 3), ("13579", 1)]
)
def test_a_sequence_rises_or_falls_by_one(text: str, length: int) -> None:
    """Other digits between, a turn or a gap end it."""
    assert has_sequence(text, length)
    assert not has_sequence(text, length + 1)


def test_made_tokens_are_taken_and_differ() -> None:
    """Each is new, meets the rules of the bridge and those of the simulated Asaas, and needs no quotes."""
    made = {generate() for _ in range(200)}

    assert len(made) == 200
    assert all(problem(token) is None and token_problem(token) is None and token.isalnum() for token in made)


@given(st.text(alphabet=st.characters(codec="utf-8"), min_size=0, max_size=300))
def test_what_the_bridge_lets_pass_the_simulated_asaas_takes(token: str) -> None:
    """The bridge's rules are never laxer."""
    assert problem(token) is not None or token_problem(token) is None
