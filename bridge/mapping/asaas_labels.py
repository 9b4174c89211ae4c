"""The Portuguese names of the statuses, reasons and billing types that Asaas sends, for the function `label`.

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
        # Refunds, bills and invoices that wait.
        "AWAITING_CRITICAL_ACTION_AUTHORIZATION": "Aguardando autorização no Asaas",
        "AWAITING_CUSTOMER_EXTERNAL_AUTHORIZATION": "Aguardando autorização do cliente",
        "AWAITING_CHECKOUT_RISK_ANALYSIS_REQUEST": "Aguardando análise de risco",
        "WAITING_OVERDUE_PAYMENT": "Aguardando pagamento da cobrança vencida",
        "AWAITING_REQUEST": "Aguardando solicitação",
        "NONE": "Nenhuma",
        "IN_BANK_PROCESSING": "Em processamento no banco",
        "REFUSED": "Recusada",
        "DISABLED": "Desativada",
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

# docs.asaas.com, table of chargeback reasons.
CHARGEBACK_REASON_LABELS: Mapping[str, str] = MappingProxyType(
    {
        "ABSENCE_OF_PRINT": "Ausência de impressão",
        "ABSENT_CARD_FRAUD": "Fraude em ambiente de cartão não presente",
        "CARD_ACTIVATED_PHONE_TRANSACTION": "Transação telefônica ativada por cartão",
        "CARD_FRAUD": "Fraude em ambiente de cartão presente",
        "CARD_RECOVERY_BULLETIN": "Boletim de negativação de cartões",
        "COMMERCIAL_DISAGREEMENT": "Desacordo comercial",
        "COPY_NOT_RECEIVED": "Cópia não atendida",
        "CREDIT_OR_DEBIT_PRESENTATION_ERROR": "Erro de apresentação de crédito / débito",
        "DIFFERENT_PAY_METHOD": "Pagamento por outros meios",
        "FRAUD": "Sem autorização do portador do cartão",
        "INCORRECT_TRANSACTION_VALUE": "Valor da transação é diferente",
        "INVALID_CURRENCY": "Moeda inválida",
        "INVALID_DATA": "Dados inválidos",
        "LATE_PRESENTATION": "Apresentação tardia",
        "LOCAL_REGULATORY_OR_LEGAL_DISPUTE": "Contestação regulatória / legal local",
        "MULTIPLE_ROCS": "ROCs múltiplos",
        "ORIGINAL_CREDIT_TRANSACTION_NOT_ACCEPTED": "Transação de crédito original não aceita",
        "OTHER_ABSENT_CARD_FRAUD": "Outras fraudes - Cartão ausente",
        "PROCESS_ERROR": "Erro de processamento",
        "RECEIVED_COPY_ILLEGIBLE_OR_INCOMPLETE": "Cópia atendida ilegível / incompleta",
        "RECURRENCE_CANCELED": "Recorrência cancelada",
        "REQUIRED_AUTHORIZATION_NOT_GRANTED": "Autorização requerida não obtida",
        "RIGHT_OF_FULL_RECOURSE_FOR_FRAUD": "Direito de regresso integral por fraude",
        "SALE_CANCELED": "Mercadoria / serviços cancelado",
        "SERVICE_DISAGREEMENT_OR_DEFECTIVE_PRODUCT": "Mercadoria / serviço com defeito ou em desacordo",
        "SERVICE_NOT_RECEIVED": "Mercadoria / serviços não recebidos",
        "SPLIT_SALE": "Desmembramento de venda",
        "TRANSFERS_OF_DIVERSE_RESPONSIBILITIES": "Transf. de responsabilidades diversas",
        "UNQUALIFIED_CAR_RENTAL_DEBIT": "Débito de aluguel de carro não qualificado",
        "USA_CARDHOLDER_DISPUTE": "Contestação do portador de cartão (EUA)",
        "VISA_FRAUD_MONITORING_PROGRAM": "Programa Visa de monitoramento de fraude",
        "WARNING_BULLETIN_FILE": "Arquivo boletim de advertência",
    }
)

# Those that are called like an event (PAYMENT_DELETED) have the event's label.
_SPLIT_CANCELLATIONS: Mapping[str, str] = MappingProxyType(
    {
        "PAYMENT_RECEIVED_IN_CASH": "Cobrança recebida em dinheiro",
        "VALUE_DIVERGENCE_BLOCK": "Bloqueio por divergência de valor",
        "WALLET_UNABLE_TO_RECEIVE": "A carteira não pode receber",
        "EXTERNAL_AUTHORIZATION_REFUSED": "Autorização externa recusada",
        "PAYMENT_SPLIT_VALIDATION_FAILED": "Validação do split recusada",
    }
)

_OTHERS: Mapping[str, str] = MappingProxyType(
    {
        "WEEKLY": "Semanal",
        "BIWEEKLY": "Quinzenal",
        "MONTHLY": "Mensal",
        "BIMONTHLY": "Bimestral",
        "QUARTERLY": "Trimestral",
        "SEMIANNUALLY": "Semestral",
        "YEARLY": "Anual",
        "FISICA": "Pessoa física",
        "JURIDICA": "Pessoa jurídica",
        "FIXED": "Valor fixo",
        "PERCENTAGE": "Percentual",
    }
)

LABELS = (STATUS_LABELS, BILLING_TYPE_LABELS, CHARGEBACK_REASON_LABELS, _SPLIT_CANCELLATIONS, _OTHERS)


def label_of(word: str) -> str | None:
    """Return the Portuguese name of a status, reason, billing type or event name, or None where there is none."""
    known = EVENTS.get(word)
    return known.label if known else next((labels[word] for labels in LABELS if word in labels), None)
