"""The APIs of Asaas (enrichment) and of Clint (read-back)."""

from __future__ import annotations

from bridge.errors.root import BridgeError


class EnrichmentWaits(BridgeError):
    """the Asaas API can't be asked now: the event waits and is tried again"""

    code = "enrichment.waits"

    def __init__(self, what: str | None = None, *, retry_after_s: float | None = None, **parts: str | None) -> None:
        super().__init__(what, **parts)
        self.retry_after_s = retry_after_s


class AsaasUnavailable(EnrichmentWaits):
    """the Asaas API did not answer, or answered with a server error"""

    code = "asaas.unavailable"


class AsaasRateLimited(EnrichmentWaits):
    """the Asaas API asked the bridge to slow down"""

    code = "asaas.rate_limited"


class AsaasQuotaSpent(EnrichmentWaits):
    """the account's quota of requests to the Asaas API is nearly used up"""

    code = "asaas.quota_spent"


class AsaasKeyRefused(EnrichmentWaits):
    """the Asaas API refused the account's key"""

    code = "asaas.key_refused"


class AsaasKeyMissing(EnrichmentWaits):
    """the mapping needs data from the Asaas API and the account has no key"""

    code = "asaas.key_missing"


class AsaasRejected(BridgeError):
    """the Asaas API answered that the request is wrong"""

    code = "asaas.rejected"


class AsaasNotFound(AsaasRejected):
    """the Asaas API has no such object for the account of the key"""

    code = "asaas.not_found"


class AsaasOutcomeUnknown(BridgeError):
    """the Asaas API may or may not have done what was asked"""

    code = "asaas.outcome_unknown"


class ClintApiFailed(BridgeError):
    """the Clint API did not give what was asked for"""

    code = "clint.api"
