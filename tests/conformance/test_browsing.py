"""The console's list of events: what each filter and each search finds, newest first, page by page."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bridge.journal import Journal, queries, retention, search
from bridge.journal.queries import EventFilter, ValueRange
from bridge.journal.schema import events as event_table
from bridge.journal.search import Term, terms_of_customer, terms_of_object
from bridge.model import DeliveryState
from tests.factories import NOW_MS, envelope, incoming, keep, owe, payment, put_in_state, revision

CUSTOMER = {
    "id": "cus_ana",
    "name": "Ana Lúcia D'Ávila",
    "company": "Padaria Sol",
    "email": "Ana@Example.com",
    "cpfCnpj": "24971563792",
    "mobilePhone": "47996321478",
    "additionalEmails": "contas@example.com,fiscal@example.com",
    "externalReference": "erp-77",
}


def found(journal: Journal, limit: int = 50, before: int | None = None, **wanted: Any) -> list[int]:
    """Return the numbers of the wanted events as the list shows them."""
    with journal.database.read() as connection:
        return [row["id"] for row in queries.event_page(connection, EventFilter(**wanted), limit, before)]


@pytest.fixture
def known(journal: Journal) -> dict[str, int]:
    """Give a journal with one event of each kind, by what stands in it."""
    revision(journal)
    ana, bia = (
        keep(journal, incoming(customer, object_id=object_id, received_ms=NOW_MS + n * 60_000, **more))[0]
        for n, (customer, object_id, more) in enumerate(
            [
                ("cus_ana", "pay_ana", {}),
                ("cus_bia", "pay_bia", {"name": "PAYMENT_OVERDUE", "account": "matriz"}),
            ]
        )
    )
    dead = owe(journal, event_id=ana, customer="cus_ana")
    put_in_state(journal, dead, DeliveryState.DEAD, due_ms=None)
    open_ = owe(journal, event_id=bia, customer="cus_bia", mapping="vencida", account="matriz")
    entity = payment("cus_ana", invoiceNumber="16479671", externalReference="PLP-9", subscription="sub_1")
    terms = [*terms_of_object("default", "pay_ana", entity), *terms_of_customer("default", "cus_ana", CUSTOMER)]
    with journal.database.write() as connection:
        search.write(connection, terms)
        search.write(connection, terms)
        search.write(connection, [])
    return {"ana": ana, "bia": bia, "dead": dead, "open": open_}


@pytest.mark.parametrize(
    "text",
    [
        "pay_ana",
        "cus_ana",
        "16479671",
        "PLP-9",
        "plp-9",
        "sub_1",
        "Ana",
        "ana lucia",
        "LÚCIA ávila",
        "padaria",
        "ana@example.com",
        "fiscal@example.com",
        "249.715.637-92",
        "24971563792",
        "(47) 99632-1478",
        "+55 47 99632-1478",
        "erp-77",
        "luc",
        "avil",
        "ana pad",
    ],
)
def test_a_search_leads_to_the_charge_and_the_customer(journal: Journal, known: dict[str, int], text: str) -> None:
    """Ids, invoice number, reference, words of the name, e-mail, document and phone, as people write them."""
    assert found(journal, text=text) == [known["ana"]]


@pytest.mark.parametrize("text", ["nobody", "ana bia", "an", "cia", "24971563793", "evt_x&1", "0", "%"])
def test_a_search_finds_nothing_else(journal: Journal, known: dict[str, int], text: str) -> None:
    """All words must lead to the same customer, and nothing is found by two letters of a word or by its end."""
    assert found(journal, text=text) == []


@pytest.mark.parametrize(
    ("text", "charges"),
    [
        ("1003", ["pay_1003"]),
        ("Pedido 1003", ["pay_1003"]),
        ("pedido 1010", ["pay_1010"]),
        ("Carla Pedido 1003", ["pay_1003"]),
        ("1003 carl ped", ["pay_1003"]),
        ("Carla Pedido", ["pay_1003", "pay_1010"]),
        ("Loja 24 Pedido", ["pay_77"]),
        ("loja 24", ["pay_77"]),
        ("Pedido", ["pay_1003", "pay_1010", "pay_77"]),
        ("mensalidades carla", ["pay_1010"]),
        ("16479671 carla", ["pay_1010"]),
        ("Pedido 1011", []),
        ("Loja 25", []),
        ("Loja Pedido 1003", []),
        ("Carla 77", []),
        ("100", []),
        ("Pedido 100", []),
    ],
)
def test_each_word_leads_to_the_charge_or_to_its_customer(journal: Journal, text: str, charges: list[str]) -> None:
    """Numbers of a description count whole; no charge is found of which a word is said by another one only."""
    said = {
        "pay_1003": ("cus_carla", {"description": "Pedido 1003"}),
        "pay_1010": ("cus_carla", {"description": "Pedido 1010 (mensalidades)", "invoiceNumber": "16479671"}),
        "pay_77": ("cus_loja", {"description": "Pedido 77, parcela 2 de 3"}),
    }
    names = {"cus_carla": "Carla Dias", "cus_loja": "Loja 24 Horas"}
    kept = {keep(journal, incoming(whose, object_id=id_))[0]: id_ for id_, (whose, _) in said.items()}
    with journal.database.write() as connection:
        search.index(connection, [search.charge_found("default", id_, fields) for id_, (_, fields) in said.items()])
        search.index(connection, [search.customer_found("default", id_, {"name": name}) for id_, name in names.items()])

    assert sorted(kept[id_] for id_ in found(journal, text=text)) == charges


def test_a_search_takes_the_number_and_the_id_of_an_event(journal: Journal, known: dict[str, int]) -> None:
    """The number from the list and the whole id that Asaas gave."""
    (id_,) = keep(journal, incoming(key="evt_abc&7"))

    assert found(journal, text="evt_abc&7") == [id_]
    assert found(journal, text=str(known["bia"])) == [known["bia"]]


def test_no_name_or_document_stands_in_the_index(journal: Journal, known: dict[str, int]) -> None:
    """Terms are hashes with a key that each journal draws for itself."""
    with journal.database.read() as connection:
        kept = connection.exec_driver_sql("SELECT term FROM search_terms").scalars().all()

    assert len(kept) > 10
    assert all(len(term) == 24 and int(term, 16) for term in kept)


def test_what_leads_to_a_customer_goes_with_the_last_full_event(journal: Journal, known: dict[str, int]) -> None:
    """As long as one event of the customer is full, the search finds it; then nothing leads there any more."""
    put_in_state(journal, known["dead"], DeliveryState.DISCARDED, finished_ms=NOW_MS)
    (later,) = keep(journal, incoming("cus_ana", object_id="pay_later"))
    with journal.database.write() as connection:
        connection.exec_driver_sql("UPDATE events SET state = 'processed'")
        assert retention.empty(connection, [known["ana"]], NOW_MS + 10, NOW_MS) == 1
    assert found(journal, text="Ana") == [later, known["ana"]]
    assert found(journal, text="16479671") == []
    with journal.database.write() as connection:
        assert retention.remove(connection, [later], NOW_MS + 10) == 1
    assert found(journal, text="Ana") == []


def test_each_filter_finds_its_own(journal: Journal, known: dict[str, int]) -> None:
    """State, mapping, event, account and time, alone and together."""
    ana, bia = known["ana"], known["bia"]

    assert found(journal) == [bia, ana]
    assert found(journal, state="dead") == [ana]
    assert found(journal, state="open") == [bia]
    assert found(journal, state="pending") == [bia]
    assert found(journal, state="delivered") == []
    assert found(journal, state="waiting") == [bia, ana]
    assert found(journal, mapping="paga") == [ana]
    assert found(journal, mapping="paga", state="open") == []
    assert found(journal, name="PAYMENT_OVERDUE") == [bia]
    assert found(journal, name="PAYMENT_RECEIVED", state="dead") == [ana]
    assert found(journal, name="PAYMENT_RECEIVED", state="delivered") == []
    assert found(journal, name="PAYMENT_RECEIVED", mapping="paga") == [ana]
    assert found(journal, account="matriz") == [bia]
    assert found(journal, account="matriz", state="dead") == []
    assert found(journal, text="Ana", state="dead") == [ana]
    assert found(journal, text="Ana", state="open") == []


def test_a_period_is_from_its_first_moment_to_before_its_last(journal: Journal, known: dict[str, int]) -> None:
    """Also in an empty journal and beyond both ends."""
    ana, bia = known["ana"], known["bia"]

    assert found(journal, since_ms=NOW_MS + 1) == [bia]
    assert found(journal, until_ms=NOW_MS + 60_000) == [ana]
    assert found(journal, since_ms=NOW_MS, until_ms=NOW_MS + 60_001, mapping="paga") == [ana]
    assert found(journal, since_ms=NOW_MS + 60_001) == []


def test_an_empty_journal_has_an_empty_list(journal: Journal) -> None:
    """Nothing is found, whatever is asked."""
    assert found(journal, since_ms=0, until_ms=1, text="x") == []
    with journal.database.read() as connection:
        assert queries.names(connection) == queries.accounts(connection) == []


def test_pages_follow_each_other_without_a_gap(journal: Journal) -> None:
    """Each page begins below the last number of the one before, also where several states are merged."""
    ids = keep(journal, *(incoming(f"cus_{n}") for n in range(9)))
    for n, id_ in enumerate(ids):
        delivery = owe(journal, event_id=id_, customer=f"cus_{n}")
        state = (DeliveryState.DELIVERED, DeliveryState.FILTERED, DeliveryState.PENDING)[n % 3]
        put_in_state(journal, delivery, state)

    for wanted in ({}, {"mapping": "paga"}, {"name": "PAYMENT_RECEIVED"}):
        pages: list[int] = []
        while page := found(journal, 4, pages[-1] if pages else None, **wanted):
            pages += page
        assert pages == sorted(ids, reverse=True)


def test_names_and_accounts_are_those_of_kept_events(journal: Journal, known: dict[str, int]) -> None:
    """The filters offer what there is."""
    with journal.database.read() as connection:
        assert queries.names(connection) == ["PAYMENT_OVERDUE", "PAYMENT_RECEIVED"]
        assert queries.accounts(connection) == ["default", "matriz"]


def test_what_has_no_text_leads_nowhere() -> None:
    """Missing values, and an event without an object."""
    assert terms_of_object("a", "", {"invoiceNumber": "1"}) == []
    assert terms_of_object("a", "pay_1", {"invoiceNumber": None, "externalReference": " ", "installment": True}) == []
    assert terms_of_customer("a", "cus_1", {"name": None, "email": None}) == []
    assert Term("1", search.Kind.OBJECT, "a", "pay_1") in terms_of_object(
        "a", "pay_1", json.loads(json.dumps({**envelope()["payment"], "invoiceNumber": 1}))
    )


def test_words_of_a_description_lead_to_the_charge(journal: Journal) -> None:
    """By their beginnings, all of them in one charge; a description that is changed is found by the new words too."""
    one, two = keep(journal, incoming(object_id="pay_1"), incoming(object_id="pay_2"))
    for charge, description in (("pay_1", "Mensalidade Plano Ouro"), ("pay_2", "Mensalidade"), ("pay_2", "Matrícula")):
        with journal.database.write() as connection:
            search.index(connection, [search.charge_found("default", charge, {"description": description})])

    assert found(journal, text="mens") == [two, one]
    assert found(journal, text="mensalidade ouro") == [one]
    assert found(journal, text="matri") == [two]
    assert found(journal, text="mensalidadeX") == [two, one]
    assert found(journal, text="mensagem") == []


def test_a_word_that_very_many_charges_have_finds_the_newest(journal: Journal) -> None:
    """More than a list of charges may hold."""
    number = 620
    ids = keep(journal, *(incoming(f"cus_{n}", object_id=f"pay_{(n * 7) % number:04}") for n in range(number)))
    said = [search.charge_found("default", f"pay_{n:04}", {"description": "Mensalidade"}) for n in range(number)]
    with journal.database.write() as connection:
        search.index(connection, said)

    assert found(journal, 5, text="mensal") == ids[:-6:-1]


def test_terms_are_written_once(journal: Journal) -> None:
    """The second event of a charge writes none, one with other words only what is new."""

    def write(**fields: Any) -> tuple[int, int]:
        with journal.database.write() as connection:
            new = search.index(connection, [search.charge_found("default", "pay_1", fields)])
            return len(new), connection.exec_driver_sql("SELECT count(*) FROM search_terms").scalar_one()

    assert write(description="Plano") == (1, 4)
    assert write(description="Plano") == (0, 4)
    assert write(description="Plano", invoiceNumber="7") == (1, 6)
    assert write() == (0, 6)


def test_a_list_by_value_says_where_it_stopped(journal: Journal) -> None:
    """A page looks through so many numbers at most; the next one goes on there, and the last says nothing."""
    first, second = keep(journal, incoming("cus_1"), incoming("cus_2"))
    number = 3 * queries.LOOKED_THROUGH
    with journal.database.write() as connection:
        connection.execute(event_table.update().where(event_table.c.id == second).values(id=number))
    wanted = EventFilter(value=ValueRange(12_990, 12_990))
    pages, before = [], None
    with journal.database.read() as connection:
        while True:
            pages.append([row["id"] for row in queries.event_page(connection, wanted, 50, before)])
            before = queries.event_floor(connection, wanted, before)
            if before is None:
                break

        assert pages == [[number], [first]]
        assert queries.event_floor(connection, EventFilter()) is None
        assert queries.list_events(connection, limit=9, value=wanted.value)[0]["id"] == number
