"""Which webhook is the bridge's, what it must subscribe to, and what is wrong with it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bridge.asaas.webhooks import Webhook, find_ours, hook_url, needed_events, problems
from bridge.cli.output import row_data
from bridge.mapping import Mapping, Setup, parse_mapping
from bridge.mapping.catalogue import EVENTS
from bridge.messages import in_language

FINE = Webhook(
    id="1",
    name="x",
    url="https://bridge.example/webhooks/asaas",
    email="",
    enabled=True,
    interrupted=False,
    send_type="SEQUENTIALLY",
    has_token=True,
    penalised=0,
    events=("PAYMENT_RECEIVED",),
)


def mapping(events: str, more: str = "") -> Mapping:
    """Return a mapping that listens to these events."""
    read = parse_mapping(f"events: {events}\ncontact: {{email: customer.email}}\n{more}", "x", Setup(None, None))
    assert read.mapping is not None, read.findings
    return read.mapping


@pytest.mark.parametrize(
    ("public", "account", "url"),
    [
        ("https://b.example", "default", "https://b.example/webhooks/asaas"),
        ("https://b.example/", "matriz", "https://b.example/webhooks/asaas/matriz"),
        ("https://b.example/bridge", "default", "https://b.example/bridge/webhooks/asaas"),
        ("https://b.example/webhooks/asaas/", "default", "https://b.example/webhooks/asaas"),
        ("https://b.example/webhooks/asaas/matriz", "matriz", "https://b.example/webhooks/asaas/matriz"),
        ("https://b.example/webhooks/asaas/default", "default", "https://b.example/webhooks/asaas/default"),
    ],
)
def test_the_path_is_added_once(public: str, account: str, url: str) -> None:
    """An address may come with the path already."""
    assert hook_url(public, account) == url


def test_ours_is_found_by_url() -> None:
    """With a URL only that one is ours, whatever the case of the host or a slash at the end."""
    other = replace(FINE, url="https://staging.example/webhooks/asaas")
    slash = replace(FINE, url="https://Bridge.example/webhooks/asaas/")

    assert find_ours([FINE, other, slash], "default", FINE.url) == [FINE, slash]


def test_a_webhook_whose_url_is_none_is_not_ours() -> None:
    """It is passed over, by URL and by path."""
    broken = replace(FINE, url="https://[bridge.example/webhooks/asaas")

    assert find_ours([broken, FINE], "default", FINE.url) == find_ours([broken, FINE], "default") == [FINE]


def test_ours_is_found_by_path() -> None:
    """Without a URL whatever has the account's path is ours, and nothing of another account or program."""
    hooks = [
        replace(FINE, url=f"https://b.example{path}")
        for path in ("/webhooks/asaas", "/webhooks/asaas/matriz", "/hook", "/webhooks/asaas/default")
    ]

    assert find_ours(hooks, "default") == [hooks[0], hooks[3]]
    assert find_ours(hooks, "matriz") == [hooks[1]]


def test_families_are_spelled_out_over_the_known_names() -> None:
    """Exactly what the account's enabled mappings name is needed, also what the bridge does not know."""
    found = needed_events(
        [
            mapping("[PAYMENT_RECEIVED]"),
            mapping("INVOICE_*"),
            mapping("[LOYALTY_2_EARNED, NEW_FAMILY_*]"),
            mapping("TRANSFER_*", "enabled: false"),
            mapping("BILL_*", "account: matriz"),
        ],
        "default",
    )

    invoices = {name for name in EVENTS if name.startswith("INVOICE_")}
    assert len(invoices) == 8
    assert found == {"PAYMENT_RECEIVED", "LOYALTY_2_EARNED"} | invoices


@pytest.mark.parametrize(
    ("found", "codes"),
    [
        ([FINE], []),
        ([], ["webhook.missing"]),
        ([replace(FINE, interrupted=True)], ["webhook.interrupted"]),
        ([replace(FINE, penalised=3)], ["webhook.penalised"]),
        ([replace(FINE, has_token=False)], ["webhook.token"]),
        ([replace(FINE, enabled=False)], ["webhook.disabled"]),
        ([replace(FINE, enabled=False, events=())], ["webhook.disabled", "webhook.events"]),
        ([replace(FINE, events=("PAYMENT_CREATED",))], ["webhook.events"]),
        ([FINE, FINE], ["webhook.several"]),
        ([replace(FINE, url=f"{FINE.url}/")], ["webhook.slash"]),
        ([FINE, replace(FINE, enabled=False)], ["webhook.disabled"]),
        ([replace(FINE, api_version=2)], ["webhook.version"]),
    ],
)
def test_each_problem_has_its_code(found: list[Webhook], codes: list[str]) -> None:
    """What is wrong is said with what mends it, for the account in question."""
    said = problems(found, {"PAYMENT_RECEIVED"}, "matriz")

    assert [problem.code for problem in said] == codes
    assert all("--account matriz" in str(problem.mend) or problem.code == "webhook.several" for problem in said)


def test_a_problem_has_the_keys_that_scripts_read() -> None:
    """`bridge webhook status --json` keeps its keys and its English, and gains the facts."""
    (found,) = problems([replace(FINE, penalised=3)], {"PAYMENT_RECEIVED"}, "default")

    with in_language("pt"):
        data = row_data(found)
    assert data == {
        "code": "webhook.penalised",
        "level": "warning",
        "what": "Asaas penalises the webhook: failures of waiting events, got 3",
        "what_facts": {"number": 3},
        "mend": "check that the bridge answers 200, then run: bridge webhook resume",
        "mend_facts": {"account": ""},
    }
