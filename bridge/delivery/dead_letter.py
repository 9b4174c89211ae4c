"""Says what a reason code means for an operator and what to do about it: pure, one table.

Every code that the journal may keep beside a delivery, an attempt or a held event stands here (a test looks for each in
the source). The codes are stable, the sentences are not.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple


class Explanation(NamedTuple):
    """What a code means, and what to do; nothing to do is an empty text."""

    means: str
    todo: str = ""


_RETRY = "then: bridge deliveries retry"
_REPLAY = "then: bridge events replay"
_NEW_URL = "copy the integration's URL from Clint into the destination's variable and restart the bridge"

EXPLANATIONS: Mapping[str, Explanation] = MappingProxyType(
    {
        # ------------------------------------------------------------ a mapping said no: nothing is owed
        "filter.installment": Explanation("the mapping takes only the first instalment of a plan"),
        "filter.once": Explanation("the mapping sends one delivery for each instalment plan, and that one exists"),
        "filter.compare": Explanation("a condition of the mapping's filter did not hold"),
        "filter.exists": Explanation("the mapping's filter wants a field that this event has not"),
        "filter.absent": Explanation("the mapping's filter wants a field to be absent, and this event has it"),
        "filter.expression": Explanation("the expression of the mapping's filter did not hold"),
        "filter.any": Explanation("none of the conditions of which the mapping's filter wants one held"),
        "filter.not": Explanation("a condition held that the mapping's filter excludes"),
        # ------------------------------------------------------------ no payload could be made
        "filter.failed": Explanation(
            "a condition of the filter can't be judged on this event", f"mend the mapping's filter; {_REPLAY}"
        ),
        "transform.expression": Explanation(
            "an expression of the mapping can't be evaluated on this event", f"mend the mapping; {_REPLAY}"
        ),
        "transform.required_missing": Explanation(
            "a field that the mapping requires has no value in this event",
            f"fill it in at Asaas, or take `required` out of the mapping; {_REPLAY}",
        ),
        "transform.no_contact": Explanation(
            "the customer has neither an e-mail nor a phone, so Clint could find no contact",
            f"fill in one of them in the customer's record at Asaas; {_REPLAY}",
        ),
        "stage.failed": Explanation("the event could not be turned into a payload", f"mend the mapping; {_REPLAY}"),
        "bridge.fault": Explanation(
            "the bridge itself has a fault that this event brings out",
            f"report it with the worker's log record mapping.fault of this event; after an update, {_REPLAY}",
        ),
        # ------------------------------------------------------------ Asaas could not say what the mapping needs
        "asaas.rejected": Explanation(
            "the Asaas API refuses the request for what the mapping needs",
            f"look whether the object still exists in Asaas; {_REPLAY}",
        ),
        "enrichment.waits": Explanation("Asaas can't be asked now; the event waits and is tried again"),
        "asaas.unavailable": Explanation("the Asaas API does not answer; the event waits and is tried again"),
        "asaas.rate_limited": Explanation("Asaas asked the bridge to slow down; the event waits as long as it said"),
        "asaas.quota_spent": Explanation(
            "the account's quota of requests in 12 hours is nearly used up; the event waits until it is renewed",
            "find what else asks the Asaas API with this account's key",
        ),
        "asaas.key_refused": Explanation(
            "Asaas refuses the account's API key; the event waits and is tried again each minute",
            "set a valid key of the right environment in ASAAS_API_KEY and restart the bridge",
        ),
        "asaas.key_missing": Explanation(
            "the mapping needs what only the Asaas API knows, and the account has no key; the event waits",
            "set ASAAS_API_KEY (or that of the account) and restart the bridge",
        ),
        "mapping.refused": Explanation(
            "a mapping that is active can't run in this version of the bridge, so every event waits",
            "mend or remove it: bridge mappings lint",
        ),
        "event.behind": Explanation("an earlier event of the same customer waits, and order is kept"),
        # ------------------------------------------------------------ what the destination answered
        "clint.ok": Explanation(
            "the destination took it; whether a deal stands is to be seen in Clint's Históricos of the integration"
        ),
        "clint.removed": Explanation(
            "the integration was removed in Clint; the destination is paused and its work waits", _NEW_URL
        ),
        "clint.url": Explanation("the destination's URL can't be used; it is paused and its work waits", _NEW_URL),
        "clint.redirect": Explanation(
            "the destination's URL leads elsewhere, and redirects are not followed", f"{_NEW_URL}; {_RETRY}"
        ),
        "clint.payload": Explanation(
            "the payload holds a value that JSON does not know", f"mend the mapping; {_REPLAY}"
        ),
        "clint.timeout": Explanation("the destination did not answer in time; it may have taken the payload"),
        "clint.connection": Explanation("the connection to the destination failed"),
        "clint.dns": Explanation("the name of the destination's host could not be resolved"),
        "clint.tls": Explanation("no secure connection to the destination could be made"),
        "clint.private_address": Explanation(
            "the destination's name leads to this machine or network, where nothing is sent",
            "mend the URL; for a test on this machine set BRIDGE_ALLOW_PRIVATE_DESTINATIONS=1",
        ),
        # ------------------------------------------------------------ what the bridge decided
        "destination.not_set": Explanation(
            "no URL is set for the destination; its work waits",
            "set its CLINT_WEBHOOK_URL variable for the workers and restart them",
        ),
        "destination.paused": Explanation("the destination is paused; its work waits", "bridge destinations resume"),
        "destination.circuit_open": Explanation(
            "the destination fails for several customers; one delivery at a time tries whether it answers again"
        ),
        "attempt.not_sent": Explanation("the worker's lease on the lane was about to end; it is sent by the next one"),
        "attempt.unknown": Explanation(
            "the worker ended before it knew the answer; it is sent again with the same Idempotency-Key"
        ),
        "delivery.attempts_spent": Explanation(
            "every try failed, and no further one is made by itself",
            f"look at the last attempts and at Clint; {_RETRY}",
        ),
        "delivery.stale": Explanation(
            "a newer event of the same charge was already delivered, so this older one was not sent",
            "nothing; where it must be sent all the same: bridge deliveries retry",
        ),
        "delivery.discarded": Explanation("a person decided that it is not owed"),
    }
)

_HTTP: Mapping[int, Explanation] = MappingProxyType(
    {
        400: Explanation(
            "the destination can't read what was sent",
            f"compare the payload with the mapping screen in Clint; mend the mapping; {_REPLAY}",
        ),
        401: Explanation("the destination does not let the bridge in", f"{_NEW_URL}; {_RETRY}"),
        403: Explanation("the destination does not let the bridge in", f"{_NEW_URL}; {_RETRY}"),
        413: Explanation(
            "the payload is larger than the destination takes", f"send fewer or shorter fields; {_REPLAY}"
        ),
        422: Explanation("the destination does not take these values", f"mend the mapping; {_REPLAY}"),
        429: Explanation("the destination asked the bridge to slow down; it is sent later"),
    }
)
_REFUSED = Explanation("the destination refused it", f"look at its answer in the attempts; mend what it says; {_RETRY}")
_FAILED = Explanation("the destination has a fault of its own; it is sent again")


def explain(code: str | None) -> Explanation | None:
    """Return what a reason code means and what to do; None where there is no code or nobody knows it.

    >>> explain("clint.http_503").means
    'the destination has a fault of its own; it is sent again'
    """
    if code is None:
        return None
    http = re.fullmatch(r"clint\.http_(\d{3})", code)
    if http is None:
        return EXPLANATIONS.get(code)
    status = int(http[1])
    return _HTTP.get(status) or (_REFUSED if 400 <= status < 500 and status not in {408, 425} else _FAILED)
