"""A simulated Clint: the webhook URL of an integration, its history, and the read-only part of the API.

Known (help pages, public code, the OpenAPI document): the URL and that its UUID is the only secret; flat bodies as
JSON, as a form, or as text that is JSON; keys are mapped exactly; stage and status belong to the integration, not to
the body; create, update, create or update "in the same origin"; the contact is known by e-mail or phone; a 2xx means
received, failures stand in the history only; fields, filters and pages of `/v1`; lists without a status give OPEN.

Assumed: the answer of a webhook is 200 and a small JSON object, 404 for an unknown UUID, 400 for an unreadable body;
e-mail goes before phone when they name two contacts, and fills a gap but never replaces; of several deals the newest
open one is updated, else the newest; a value that is not flat is ignored; an empty text empties the field; unmapped
keys become fields of the deal when the integration has no mapping of its own. Clint has no limit here: none is
published. What it really answers, how fast and how large, is unconfirmed.
"""

from .account import DEFAULT_TOKEN, INTEGRATIONS, ClintAccount
from .simulator import ClintSimulator

__all__ = ["DEFAULT_TOKEN", "INTEGRATIONS", "ClintAccount", "ClintSimulator"]
