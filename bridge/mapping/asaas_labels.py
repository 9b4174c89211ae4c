"""The Portuguese names of the statuses, reasons and billing types that Asaas sends, for the function `label`.

One status word serves several objects (PENDING is a charge's, a transfer's and a refund's), so a label holds for all
of them. AUTHORIZED is a charge's too, although the published enum lacks it. Chargeback reasons are those of the table
at docs.asaas.com. An unknown word has no label; the caller usually shows the word itself.
"""

from __future__ import annotations

from collections.abc import Mapping

from bridge.mapping.asaas_events import EVENTS, TABLES

BILLING_TYPE_LABELS: Mapping[str, str] = TABLES["labels"]["billing_type"]
CHARGEBACK_REASON_LABELS: Mapping[str, str] = TABLES["labels"]["chargeback_reason"]
LABELS: tuple[Mapping[str, str], ...] = tuple(TABLES["labels"].values())
"""A reason of a cancelled split that is named like an event (PAYMENT_DELETED) is not here: it has the event's label."""


def label_of(word: str) -> str | None:
    """Return the Portuguese name of a status, reason, billing type or event name, or None where there is none."""
    known = EVENTS.get(word)
    return known.label if known else next((labels[word] for labels in LABELS if word in labels), None)
