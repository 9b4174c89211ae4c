"""The adapter to Clint's webhook integrations.

Relied on: POST to `https://functions-api.clint.digital/endpoints/integration/webhook/<uuid>` with a flat JSON object;
the UUID is the only secret, so the URL is one; free keys, mapped in Clint's own screen (ajuda.clint.digital 8174683);
stage and status set per integration; a contact is found by e-mail or phone, and in the mode "criar ou atualizar" the
deal of that contact in that origin is updated (6495685). A 2xx means received, not that there is a deal: Clint's
Históricos show the result (13452350).

Unconfirmed, so nothing is built on it: the answer's body and codes, limits of size and rate, its timeout, whether it
reads `Idempotency-Key`. An attempt with an unknown outcome is sent again, because the receiver updates the
same deal instead of making a second one; an integration in the mode "criar" makes a second one.
"""

from bridge.settings import ORIGIN_PREFIX, origin_of, origin_url

__all__ = ["ORIGIN_PREFIX", "origin_of", "origin_url"]
