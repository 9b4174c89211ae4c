"""Fetches what an event only points to: the customer, the instalment plan, the subscription, the charge.

Given names and ids it leaves objects, from a cache where they are fresh enough, else from the Asaas API. It must never
fail an event because Asaas is away: such errors say that the event waits. The cache may be lost at any time.
"""

from bridge.enrichment.cache import Cache
from bridge.enrichment.enricher import Enricher, Source
from bridge.enrichment.plan import led_to, plan

__all__ = ["Cache", "Enricher", "Source", "led_to", "plan"]
