"""The Portuguese names of the statuses and billing types that Asaas sends, for the function `label` of a mapping.

One status word serves several objects (PENDING is a charge's, a transfer's and a refund's), so a label holds for all
of them. A word that is not here has no label; the one who asks decides what to show then, usually the word itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from bridge.mapping.asaas_events import EVENTS

STATUS_LABELS: Mapping[str, str] = MappingProxyType(
    {
        # Charges. AUTHORIZED is real although the published enum lacks it.
        "PENDING": "Pendente",
        "RECEIVED": "Recebida",
        "CONFIRMED": "Confirmada",
        "OVERDUE": "Vencida",
        "REFUNDED": "Estornada",
        "RECEIVED_IN_CASH": "Recebida em dinheiro",
        "REFUND_REQUESTED": "Estorno pedido",
        "REFUND_IN_PROGRESS": "Estorno em processamento",
        "CHARGEBACK_REQUESTED": "Chargeback recebido",
        "CHARGEBACK_DISPUTE": "Chargeback em disputa",
        "AWAITING_CHARGEBACK_REVERSAL": "Aguardando repasse do chargeback",
        "DUNNING_REQUESTED": "Em negativação",
        "DUNNING_RECEIVED": "Recuperada por negativação",
        "AWAITING_RISK_ANALYSIS": "Em análise de risco",
        "AUTHORIZED": "Autorizada",
        # Subscriptions and checkouts.
        "ACTIVE": "Ativa",
        "INACTIVE": "Inativa",
        "EXPIRED": "Expirada",
        # Invoices.
        "SCHEDULED": "Agendada",
        "SYNCHRONIZED": "Enviada à prefeitura",
        "PROCESSING_CANCELLATION": "Cancelamento em processamento",
        "CANCELED": "Cancelada",
        "CANCELLATION_DENIED": "Cancelamento recusado",
        "ERROR": "Com erro",
        # Transfers, bills, anticipations, splits, refunds, chargebacks.
        "BANK_PROCESSING": "Em processamento no banco",
        "BLOCKED": "Bloqueada",
        "DONE": "Concluída",
        "FAILED": "Não concluída",
        "CANCELLED": "Cancelada",
        "PAID": "Paga",
        "CREDITED": "Creditada",
        "DEBITED": "Debitada",
        "DENIED": "Negada",
        "PROCESSING": "Em processamento",
        "PROCESSING_REFUND": "Estorno em processamento",
        "AWAITING_CREDIT": "Aguardando crédito",
        "BLOCKED_BY_VALUE_DIVERGENCE": "Bloqueada por divergência de valor",
        "REQUESTED": "Pedida",
        "IN_DISPUTE": "Em disputa",
        "DISPUTE_LOST": "Disputa perdida",
        "REVERSED": "Revertida",
        # Account status.
        "APPROVED": "Aprovada",
        "AWAITING_APPROVAL": "Em análise",
        "REJECTED": "Reprovada",
    }
)

BILLING_TYPE_LABELS: Mapping[str, str] = MappingProxyType(
    {
        "BOLETO": "Boleto",
        "CREDIT_CARD": "Cartão de crédito",
        "DEBIT_CARD": "Cartão de débito",
        "PIX": "Pix",
        "TRANSFER": "Transferência",
        "DEPOSIT": "Depósito",
        # The payer chooses when paying.
        "UNDEFINED": "A definir pelo cliente",
    }
)


def label_of(word: str) -> str | None:
    """Return the Portuguese name of a status, billing type or event name, or None where there is none."""
    known = EVENTS.get(word)
    if known:
        return known.label
    return STATUS_LABELS.get(word) or BILLING_TYPE_LABELS.get(word)
