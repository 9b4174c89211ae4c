"""Says what a reason code means for an operator and what to do about it: pure, one table in both languages.

Every code that the journal may keep beside a delivery, an attempt or a held event stands in `reasons.yaml` (a test
looks for each in the source). The codes are stable, the sentences are not.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from bridge import word_files

_FILE = Path(__file__).with_name("reasons.yaml")
_OF_STATUS = "clint.http_"
_MAY_PASS = frozenset({408, 425})
"""Answers that are the destination's own trouble although they begin with 4."""


class Then(StrEnum):
    """What follows on the mend."""

    RETRY = "retry"
    REPLAY = "replay"
    NOTHING = ""


_COMMANDS = {Then.RETRY: "then: bridge deliveries retry", Then.REPLAY: "then: bridge events replay", Then.NOTHING: ""}


class Explanation(NamedTuple):
    """What a code means, and what to do; nothing to do is an empty text."""

    means: str
    todo: str = ""


class Reason(NamedTuple):
    """What a code means in one language, what most likely caused it, what mends it and what follows on that."""

    means: str
    cause: str
    todo: str
    then: Then


@cache
def catalogue() -> Mapping[str, Mapping[str, Reason]]:
    """Return every code with its reason by language (en, pt); answers by status and kind of status too."""
    return MappingProxyType({code: _by_language(entry) for code, entry in word_files.read(_FILE).items()})


def _by_language(entry: dict[str, Any]) -> Mapping[str, Reason]:
    then = Then(entry.get("then", ""))
    return MappingProxyType(
        {
            language: Reason(text["means"], text.get("cause", ""), text.get("todo", ""), then)
            for language, text in entry.items()
            if language != "then"
        }
    )


def reason(code: str | None, language: str = "en") -> Reason | None:
    """Return what a reason code means in a language; None where there is no code or nobody knows it."""
    if code is None:
        return None
    known = catalogue()
    status = re.fullmatch(rf"{re.escape(_OF_STATUS)}(\d{{3}})", code)
    if status is None or code in known:
        return known[code][language] if code in known and not code.endswith("xx") else None
    refused = 400 <= int(status[1]) < 500 and int(status[1]) not in _MAY_PASS
    return known[f"{_OF_STATUS}{'4xx' if refused else '5xx'}"][language]


_FACTS = {
    "en": {"wanted": "expected", "origin": "in origin"},
    "pt": {"stage": "etapa", "wanted": "esperado", "origin": "na origem"},
}


def deal_said(detail: str | None, language: str = "en") -> str:
    """Return what was found of a delivery's deal as a sentence; an older journal has the sentence itself.

    >>> deal_said('{"code": "deal.seen", "stage": "Paga", "status": "WON"}', "pt")
    'há um negócio que esta entrega criou ou alterou (etapa Paga, status WON)'
    """
    try:
        facts = json.loads(detail or "")
        code = facts.pop("code")
    except (ValueError, AttributeError, KeyError):
        return detail or ""
    found = reason(code, language)
    more = ", ".join(f"{_FACTS[language].get(name, name)} {value}" for name, value in facts.items())
    return f"{found.means if found else code}{f' ({more})' if more else ''}"


def explain(code: str | None) -> Explanation | None:
    """Return what a reason code means and what to do in commands; None where nobody knows it.

    >>> explain("clint.http_503").means
    'the destination has a fault of its own; it is sent again'
    """
    found = reason(code)
    if found is None:
        return None
    return Explanation(found.means, "; ".join(part for part in (found.todo, _COMMANDS[found.then]) if part))


def _explanations() -> Mapping[str, Explanation]:
    codes = [code for code in catalogue() if not code.startswith(_OF_STATUS)]
    return MappingProxyType({code: said for code in codes if (said := explain(code)) is not None})


EXPLANATIONS: Mapping[str, Explanation] = _explanations()
"""Every code but those of the destination's HTTP answers."""


PT = "pt-BR"
EN = "en"
LANGUAGES = (PT, EN)


@dataclass(frozen=True, slots=True)
class AlertWords:
    """A problem's name and what mends it."""

    title: str
    todo: str


_DOCTOR_PT = "Rode `bridge doctor`: ele diz a causa e o que fazer."
_DOCTOR_EN = "Run `bridge doctor`: it says the cause and what to do."
_DATA_PT = "Confira no Asaas, em Minha Conta, Configurações."
_DATA_EN = "Look in Asaas: Minha Conta, Configurações."
_REGISTER_PT = "Rode `bridge webhook register`, ou confira em Asaas, Integrações, Webhooks."
_REGISTER_EN = "Run `bridge webhook register`, or look in Asaas: Integrações, Webhooks."

_TABLE: dict[str, tuple[tuple[str, str], tuple[str, str]]] = {
    "delivery.dead": (
        ("Entregas que precisam de uma pessoa", "Veja o motivo em `bridge deliveries list --state dead` e decida."),
        ("Deliveries that need a person", "See the reason with `bridge deliveries list --state dead` and decide."),
    ),
    "delivery.not_seen": (
        ("Entregue, mas o negócio não apareceu na Clint", "Veja os Históricos da integração na Clint."),
        ("Delivered, but no deal was seen in Clint", "Look at the integration's Históricos in Clint."),
    ),
    "destination.paused": (
        ("Destino pausado: nada é enviado", "Corrija a URL da integração, ou rode `bridge destinations resume`."),
        ("Destination paused: nothing is sent", "Mend the integration's URL, or run `bridge destinations resume`."),
    ),
    "destination.circuit_open": (
        ("Destino com falhas: as entregas esperam", "Nada se perde. Confira se a Clint está no ar."),
        ("Destination fails: deliveries wait", "Nothing is lost. Look whether Clint is up."),
    ),
    "events.behind": (
        ("Eventos parados: nenhum worker os processa", f"Confira se o worker está rodando. {_DOCTOR_PT}"),
        ("Events wait: no worker takes them", f"Look whether the worker runs. {_DOCTOR_EN}"),
    ),
    "events.held": (
        ("Eventos esperam pelo Asaas", f"Nada se perde: eles seguem sozinhos. O Asaas está no ar? {_DOCTOR_PT}"),
        ("Events wait for Asaas", f"Nothing is lost: they go on by themselves. Is Asaas up? {_DOCTOR_EN}"),
    ),
    "account.silent": (
        ("Nenhum evento do Asaas há tempo demais", f"A fila pode estar interrompida. {_DOCTOR_PT}"),
        ("No event from Asaas for unusually long", f"The queue may be interrupted. {_DOCTOR_EN}"),
    ),
    "task.failing": (
        ("Uma tarefa periódica da ponte está parada", f"Veja task.failed no log do worker. {_DOCTOR_PT}"),
        ("A periodic task of the bridge stands still", f"See task.failed in the worker's log. {_DOCTOR_EN}"),
    ),
    "reconcile.missing": (
        ("Cobranças que nunca chegaram", "Veja com `bridge reconcile`; traga com `bridge backfill`."),
        ("Charges that never arrived", "See them with `bridge reconcile`; bring them in with `bridge backfill`."),
    ),
    "webhook.missing": (
        ("Não há webhook no Asaas para a ponte", _REGISTER_PT),
        ("No webhook at Asaas leads to the bridge", _REGISTER_EN),
    ),
    "webhook.disabled": (
        ("O webhook está desligado no Asaas", _REGISTER_PT),
        ("The webhook is switched off at Asaas", _REGISTER_EN),
    ),
    "webhook.interrupted": (
        ("O Asaas interrompeu a fila de eventos", "Corrija a causa e rode `bridge webhook resume`; restam 14 dias."),
        ("Asaas interrupted the queue of events", "Mend the cause, then `bridge webhook resume`; 14 days are left."),
    ),
    "webhook.penalised": (
        ("O Asaas penaliza o webhook por falhas", "Veja se a ponte responde 200 e rode `bridge webhook resume`."),
        ("Asaas penalises the webhook for failures", "See that the bridge answers 200, then `bridge webhook resume`."),
    ),
    "webhook.token": (
        ("O webhook está sem token no Asaas", _REGISTER_PT),
        ("The webhook has no token at Asaas", _REGISTER_EN),
    ),
    "webhook.version": (
        ("O webhook usa outra versão da API", "Rode `bridge webhook remove` e depois `bridge webhook register`."),
        ("The webhook has another API version", "Run `bridge webhook remove`, then `bridge webhook register`."),
    ),
    "webhook.slash": (
        ("A URL do webhook no Asaas termina em barra", _REGISTER_PT),
        ("The webhook's URL at Asaas ends in a slash", _REGISTER_EN),
    ),
    "webhook.events": (
        ("Faltam eventos na inscrição do webhook", _REGISTER_PT),
        ("The webhook lacks events that mappings need", _REGISTER_EN),
    ),
    "webhook.several": (
        ("Mais de um webhook leva à ponte", "Veja com `bridge webhook status` e remova o que sobra."),
        ("Several webhooks lead to the bridge", "See `bridge webhook status` and remove what is too many."),
    ),
    "webhook.retention": (
        ("Eventos parados no Asaas serão apagados em breve", "Rode `bridge webhook resume` agora."),
        ("Events that wait at Asaas are deleted soon", "Run `bridge webhook resume` now."),
    ),
    "account.key_refused": (
        ("O Asaas recusa a chave de API", "Crie outra chave no Asaas e troque ASAAS_API_KEY."),
        ("Asaas refuses the API key", "Make a new key in Asaas and set ASAAS_API_KEY."),
    ),
    "account.access_token": (
        ("Chave de API expirando, expirada ou desligada", "Crie outra chave no Asaas e troque ASAAS_API_KEY."),
        ("API key expiring, expired or disabled", "Make a new key in Asaas and set ASAAS_API_KEY."),
    ),
    "account.bank_account_info": (
        ("Conta bancária do Asaas com pendência", _DATA_PT),
        ("The Asaas account's bank account is pending", _DATA_EN),
    ),
    "account.commercial_info": (
        ("Dados comerciais do Asaas com pendência", _DATA_PT),
        ("The Asaas account's commercial data is pending", _DATA_EN),
    ),
    "account.document": (
        ("Documentos da conta Asaas com pendência", _DATA_PT),
        ("The Asaas account's documents are pending", _DATA_EN),
    ),
    "account.general_approval": (
        ("Aprovação da conta Asaas com pendência", _DATA_PT),
        ("The Asaas account's approval is pending", _DATA_EN),
    ),
}

WORDS: Mapping[str, Mapping[str, AlertWords]] = MappingProxyType(
    {code: {PT: AlertWords(*portuguese), EN: AlertWords(*english)} for code, (portuguese, english) in _TABLE.items()}
)
"""Code -> language -> words."""

PHRASES: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        PT: {
            "name": "Ponte Asaas–Clint",
            "new": "NOVO",
            "again": "CONTINUA",
            "over": "VOLTOU AO NORMAL",
            "one": "{number} problema",
            "many": "{number} problemas",
            "all_over": "voltou ao normal",
            "since": "desde {moment}",
            "lasted": "de {moment} até agora há pouco",
            "detail": "detalhe",
            "more": "e mais {number}: `bridge notices list`",
            "test_title": "teste",
            "test_body": "Este é um teste de `bridge alerts test`. Os avisos da ponte chegam aqui.",
        },
        EN: {
            "name": "Asaas–Clint bridge",
            "new": "NEW",
            "again": "STILL SO",
            "over": "BACK TO NORMAL",
            "one": "{number} problem",
            "many": "{number} problems",
            "all_over": "back to normal",
            "since": "since {moment}",
            "lasted": "from {moment} until a moment ago",
            "detail": "detail",
            "more": "and {number} more: `bridge notices list`",
            "test_title": "test",
            "test_body": "This is a test by `bridge alerts test`. The bridge's alerts arrive here.",
        },
    }
)
