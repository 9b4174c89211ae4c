"""The names that Asaas uses, as data: events, the entity each one carries, statuses and billing types in Portuguese.

The 112 event names are the 111 of the webhook configuration's enum and PAYMENT_SPLIT_DONE, which Asaas added later.
The list is what the bridge knows by name, never what it accepts: Asaas adds names without notice, and an event with
an unknown one is kept and can be mapped. Labels are short and for a person who sells, not for one who integrates.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any


@dataclass(frozen=True, slots=True)
class KnownEvent:
    """One event name of Asaas and what the bridge knows about it."""

    name: str
    family: str
    """The part of the name before what happened, such as PAYMENT; `PAYMENT_*` in a mapping means the family."""
    entity: str
    """The key of the envelope that holds the object."""
    label: str
    flow_rank: int
    """Its place in the documented flows of a charge (see `flow_rank`)."""


ENTITY_OF_FAMILY: Mapping[str, str] = MappingProxyType(
    {
        "PAYMENT": "payment",
        "SUBSCRIPTION": "subscription",
        "INVOICE": "invoice",
        "TRANSFER": "transfer",
        "BILL": "bill",
        "RECEIVABLE_ANTICIPATION": "anticipation",
        "MOBILE_PHONE_RECHARGE": "mobilePhoneRecharge",
        "ACCOUNT_STATUS": "accountStatus",
        "CHECKOUT": "checkout",
        "BALANCE_VALUE": "balance",
        "INTERNAL_TRANSFER": "internalTransferData",
        "ACCESS_TOKEN": "accessToken",
        # No real body of these three was seen; the envelope's own keys decide when an event arrives.
        "PIX_AUTOMATIC_RECURRING_AUTHORIZATION": "authorization",
        "PIX_AUTOMATIC_RECURRING_PAYMENT_INSTRUCTION": "paymentInstruction",
        "PIX_AUTOMATIC_RECURRING_ELIGIBILITY": "eligibility",
    }
)

_SPELLINGS = (("paymentInstruction", "instruction"), ("balance", "balanceData"))
"""Keys for which Asaas's own documents have two names; the first is the bridge's."""
_NOT_ENTITIES = frozenset({"account", "additionalInfo"})

# Ranks leave gaps for events that Asaas may document later. Confirmed and received stand after overdue because a late
# charge is paid after it was overdue; chargebacks stand before refunded because losing one ends in a refund.
_FLOW_RANKS: Mapping[str, int] = MappingProxyType(
    {
        "PAYMENT_CREATED": 10,
        "PAYMENT_AWAITING_RISK_ANALYSIS": 20,
        "PAYMENT_APPROVED_BY_RISK_ANALYSIS": 25,
        "PAYMENT_REPROVED_BY_RISK_ANALYSIS": 25,
        "PAYMENT_AUTHORIZED": 30,
        "PAYMENT_OVERDUE": 40,
        "PAYMENT_DUNNING_REQUESTED": 45,
        "PAYMENT_CONFIRMED": 50,
        "PAYMENT_RECEIVED": 60,
        "PAYMENT_DUNNING_RECEIVED": 60,
        "PAYMENT_CHARGEBACK_REQUESTED": 70,
        "PAYMENT_CHARGEBACK_DISPUTE": 72,
        "PAYMENT_AWAITING_CHARGEBACK_REVERSAL": 74,
        "PAYMENT_REFUND_IN_PROGRESS": 80,
        "PAYMENT_PARTIALLY_REFUNDED": 85,
        "PAYMENT_REFUNDED": 90,
    }
)

_LABELS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "PAYMENT": {
            "CREATED": "Cobrança criada",
            "UPDATED": "Cobrança alterada",
            "CONFIRMED": "Cobrança confirmada",
            "RECEIVED": "Cobrança recebida",
            "OVERDUE": "Cobrança vencida",
            "DELETED": "Cobrança removida",
            "RESTORED": "Cobrança restaurada",
            "REFUNDED": "Cobrança estornada",
            "PARTIALLY_REFUNDED": "Cobrança estornada em parte",
            "REFUND_IN_PROGRESS": "Estorno em processamento",
            "REFUND_DENIED": "Estorno negado",
            "RECEIVED_IN_CASH_UNDONE": "Recebimento em dinheiro desfeito",
            "ANTICIPATED": "Cobrança antecipada",
            "AUTHORIZED": "Pagamento em cartão autorizado",
            "AWAITING_RISK_ANALYSIS": "Em análise de risco",
            "APPROVED_BY_RISK_ANALYSIS": "Aprovada na análise de risco",
            "REPROVED_BY_RISK_ANALYSIS": "Reprovada na análise de risco",
            "CREDIT_CARD_CAPTURE_REFUSED": "Cartão de crédito recusado",
            "CHARGEBACK_REQUESTED": "Chargeback recebido",
            "CHARGEBACK_DISPUTE": "Chargeback em disputa",
            "AWAITING_CHARGEBACK_REVERSAL": "Disputa de chargeback vencida, aguardando repasse",
            "DUNNING_REQUESTED": "Negativação pedida",
            "DUNNING_RECEIVED": "Negativação recebida",
            "BANK_SLIP_VIEWED": "Boleto visualizado",
            "BANK_SLIP_CANCELLED": "Boleto cancelado",
            "CHECKOUT_VIEWED": "Fatura visualizada",
            "SPLIT_CANCELLED": "Split cancelado",
            "SPLIT_DIVERGENCE_BLOCK": "Valor bloqueado por divergência de split",
            "SPLIT_DIVERGENCE_BLOCK_FINISHED": "Bloqueio por divergência de split encerrado",
            "SPLIT_DONE": "Split liquidado",
        },
        "SUBSCRIPTION": {
            "CREATED": "Assinatura criada",
            "UPDATED": "Assinatura alterada",
            "INACTIVATED": "Assinatura inativada",
            "DELETED": "Assinatura removida",
            "SPLIT_DISABLED": "Split da assinatura desativado",
            "SPLIT_DIVERGENCE_BLOCK": "Assinatura bloqueada por divergência de split",
            "SPLIT_DIVERGENCE_BLOCK_FINISHED": "Bloqueio da assinatura encerrado",
        },
        "INVOICE": {
            "CREATED": "Nota fiscal criada",
            "UPDATED": "Nota fiscal alterada",
            "SYNCHRONIZED": "Nota fiscal enviada à prefeitura",
            "AUTHORIZED": "Nota fiscal emitida",
            "PROCESSING_CANCELLATION": "Cancelamento da nota fiscal em processamento",
            "CANCELED": "Nota fiscal cancelada",
            "CANCELLATION_DENIED": "Cancelamento da nota fiscal recusado",
            "ERROR": "Nota fiscal com erro",
        },
        "TRANSFER": {
            "CREATED": "Transferência criada",
            "PENDING": "Transferência pendente",
            "IN_BANK_PROCESSING": "Transferência em processamento no banco",
            "BLOCKED": "Transferência bloqueada",
            "DONE": "Transferência feita",
            "FAILED": "Transferência não concluída",
            "CANCELLED": "Transferência cancelada",
        },
        "BILL": {
            "CREATED": "Pagamento de conta criado",
            "PENDING": "Pagamento de conta pendente",
            "BANK_PROCESSING": "Pagamento de conta em processamento no banco",
            "PAID": "Conta paga",
            "CANCELLED": "Pagamento de conta cancelado",
            "FAILED": "Pagamento de conta não concluído",
            "REFUNDED": "Pagamento de conta estornado",
        },
        "RECEIVABLE_ANTICIPATION": {
            "CANCELLED": "Antecipação cancelada",
            "SCHEDULED": "Antecipação agendada",
            "PENDING": "Antecipação em análise",
            "CREDITED": "Antecipação creditada",
            "DEBITED": "Antecipação debitada",
            "DENIED": "Antecipação negada",
            "OVERDUE": "Antecipação vencida",
        },
        "MOBILE_PHONE_RECHARGE": {
            "PENDING": "Recarga de celular pendente",
            "CANCELLED": "Recarga de celular cancelada",
            "CONFIRMED": "Recarga de celular confirmada",
            "REFUNDED": "Recarga de celular estornada",
        },
        "ACCOUNT_STATUS": {
            "BANK_ACCOUNT_INFO_APPROVED": "Conta bancária aprovada",
            "BANK_ACCOUNT_INFO_AWAITING_APPROVAL": "Conta bancária em análise",
            "BANK_ACCOUNT_INFO_PENDING": "Conta bancária pendente",
            "BANK_ACCOUNT_INFO_REJECTED": "Conta bancária reprovada",
            "COMMERCIAL_INFO_APPROVED": "Dados comerciais aprovados",
            "COMMERCIAL_INFO_AWAITING_APPROVAL": "Dados comerciais em análise",
            "COMMERCIAL_INFO_EXPIRED": "Dados comerciais expirados",
            "COMMERCIAL_INFO_EXPIRING_SOON": "Dados comerciais perto de expirar",
            "COMMERCIAL_INFO_PENDING": "Dados comerciais pendentes",
            "COMMERCIAL_INFO_REJECTED": "Dados comerciais reprovados",
            "DOCUMENT_APPROVED": "Documentos aprovados",
            "DOCUMENT_AWAITING_APPROVAL": "Documentos em análise",
            "DOCUMENT_PENDING": "Documentos pendentes",
            "DOCUMENT_REJECTED": "Documentos reprovados",
            "GENERAL_APPROVAL_APPROVED": "Conta aprovada",
            "GENERAL_APPROVAL_AWAITING_APPROVAL": "Conta em análise",
            "GENERAL_APPROVAL_PENDING": "Conta pendente",
            "GENERAL_APPROVAL_REJECTED": "Conta reprovada",
        },
        "CHECKOUT": {
            "CREATED": "Checkout criado",
            "CANCELED": "Checkout cancelado",
            "EXPIRED": "Checkout expirado",
            "PAID": "Checkout pago",
        },
        "BALANCE_VALUE": {"BLOCKED": "Saldo bloqueado", "UNBLOCKED": "Saldo desbloqueado"},
        "INTERNAL_TRANSFER": {
            "CREDIT": "Crédito de movimentação interna",
            "DEBIT": "Débito de movimentação interna",
        },
        "ACCESS_TOKEN": {
            "CREATED": "Chave de API criada",
            "DELETED": "Chave de API removida",
            "DISABLED": "Chave de API desativada",
            "ENABLED": "Chave de API ativada",
            "EXPIRED": "Chave de API expirada",
            "EXPIRING_SOON": "Chave de API perto de expirar",
        },
        "PIX_AUTOMATIC_RECURRING_AUTHORIZATION": {
            "CREATED": "Pix Automático: autorização criada",
            "ACTIVATED": "Pix Automático: autorização ativada",
            "CANCELLED": "Pix Automático: autorização cancelada",
            "EXPIRED": "Pix Automático: autorização expirada",
            "REFUSED": "Pix Automático: autorização recusada",
        },
        "PIX_AUTOMATIC_RECURRING_PAYMENT_INSTRUCTION": {
            "CREATED": "Pix Automático: instrução de pagamento criada",
            "SCHEDULED": "Pix Automático: instrução de pagamento agendada",
            "REFUSED": "Pix Automático: instrução de pagamento recusada",
            "CANCELLED": "Pix Automático: instrução de pagamento cancelada",
        },
        "PIX_AUTOMATIC_RECURRING_ELIGIBILITY": {"UPDATED": "Pix Automático: elegibilidade alterada"},
    }
)


EVENTS: Mapping[str, KnownEvent] = MappingProxyType(
    {
        f"{family}_{what}": KnownEvent(
            name=f"{family}_{what}",
            family=family,
            entity=ENTITY_OF_FAMILY[family],
            label=label,
            flow_rank=_FLOW_RANKS.get(f"{family}_{what}", 0),
        )
        for family, labels in _LABELS.items()
        for what, label in labels.items()
    }
)
"""Every event name the bridge knows."""


def spellings(entity: str) -> tuple[str, ...]:
    """Return every name of an entity's key, the bridge's first."""
    return next((names for names in _SPELLINGS if entity in names), (entity,))


def entity_key(envelope: Mapping[str, Any]) -> str:
    """Return the key of the object that an event is about; empty where it carries none."""
    objects = [key for key, value in envelope.items() if isinstance(value, dict) and key not in _NOT_ENTITIES]
    name = envelope.get("event")
    known = EVENTS.get(name) if isinstance(name, str) else None
    # The event's own entity first: some events carry a second object, such as the charge beside the instruction.
    for entity in (known.entity if known else "", *ENTITY_OF_FAMILY.values()):
        for key in spellings(entity):
            if key in objects:
                return key
    return objects[0] if objects else ""


def flow_rank(event_name: str) -> int:
    """Return how late the event stands in the documented flows of a charge, or 0 where no flow names it.

    Two events of one charge with the same `dateCreated` are ordered by it; 0 says nothing about the order.
    """
    known = EVENTS.get(event_name)
    return known.flow_rank if known else 0
