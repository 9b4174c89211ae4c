"""The adapter to Asaas: its webhook events and its API.

Relied on (docs.asaas.com, marked there as official): the token in the header `asaas-access-token`
(criar-novo-webhook-pela-aplicacao-web); the envelope `id, event, dateCreated, account, <entity>`, at least once, the
same `id` on a repeat (como-implementar-idempotencia-em-webhooks); the order of a charge's events
(webhook-para-cobrancas); `access_token`, `User-Agent` and the codes of a 401 (autenticacao, authentication-2); 50 GETs
at once, 25,000 requests in 12 hours from the first, `RateLimit-*` in seconds (duvidas-frequentes-limites-da-api);
404 where the object does not exist, 403 for abuse, permission or origin (codigos-http-das-respostas, request-errors).

Unconfirmed, so nothing is built on it: the form of an event id, whether a webhook token must be set, the entity
keys of Pix Automático, whether sub-accounts share the quota, which limit a 429 without headers comes from, the size
of bodies. New fields and event names appear without notice: both are kept and neither is an error.
"""
