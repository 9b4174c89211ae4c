"""Customers of the simulated Asaas, with the sandbox's checks: CPF or CNPJ by its digits, no made-up phone."""

from __future__ import annotations

from stdnum.br import cnpj, cpf

from bridge.simulator.asaas.rules import Arguments, Body, Refusal, matches, page
from bridge.simulator.asaas.state import Book

FIELDS = (
    "name", "email", "company", "phone", "mobilePhone", "address", "addressNumber", "complement", "province",
    "postalCode", "cpfCnpj", "personType", "deleted", "additionalEmails", "externalReference",
    "notificationDisabled", "observations", "municipalInscription", "stateInscription", "canDelete",
    "cannotBeDeletedReason", "canEdit", "cannotEditReason", "city", "cityName", "state", "country",
)  # fmt: skip
GIVEN = frozenset(FIELDS) - {"personType", "deleted", "canDelete", "cannotBeDeletedReason", "canEdit"}


def digits(text: object) -> str:
    return "".join(character for character in str(text or "") if character.isdigit())


def cpf_of(base: int) -> str:
    """Make the valid CPF that begins with these nine digits.

    >>> cpf_of(249715637)
    '24971563792'
    """
    numbers = [int(digit) for digit in f"{base:09d}"]
    for _ in range(2):
        rest = sum(number * weight for weight, number in enumerate(reversed(numbers), start=2)) % 11
        numbers.append(0 if rest < 2 else 11 - rest)
    return "".join(map(str, numbers))


def is_cpf_or_cnpj(text: str) -> bool:
    """Check the last two digits of a CPF (11 digits) or CNPJ (14)."""
    return len(set(text)) > 1 and bool(cpf.is_valid(text) or cnpj.is_valid(text))


def is_phone(text: str) -> bool:
    """Apply the sandbox's rule: length, and not one digit repeated after the area code."""
    number = digits(text)
    return 10 <= len(number) <= 13 and len(set(number[2:])) > 1


class Customers:
    """The customers; callers hold the book's lock."""

    def __init__(self, book: Book) -> None:
        self._book = book

    def create(self, given: Body) -> Body:
        """Add a customer; Asaas allows duplicates."""
        self._check(given, new=True)
        customer = self._body(next(self._book.ids.customers), given)
        self._book.customers[customer["id"]] = customer
        return dict(customer)

    def load(self, bodies: list[Body]) -> None:
        """Add many customers with their own ids, unchecked, for load tests."""
        self._book.customers.update({given["id"]: self._body(given["id"], given) for given in bodies})

    def get(self, customer_id: str) -> Body:
        return dict(self._book.customers[customer_id])

    def update(self, customer_id: str, given: Body) -> Body:
        self._check(given, new=False)
        customer = self._book.customers[customer_id]
        customer.update({name: given[name] for name in GIVEN & set(given)})
        return dict(customer)

    def delete(self, customer_id: str) -> Body:
        """Mark a customer as removed; Asaas emits no event."""
        self._book.customers[customer_id]["deleted"] = True
        return {"deleted": True, "id": customer_id}

    def listed(self, arguments: Arguments) -> Body:
        names = ("name", "email", "cpfCnpj", "externalReference", "groupName")
        customers = reversed(list(self._book.customers.values()))
        return page([one for one in customers if not one["deleted"] and matches(one, arguments, names)], arguments)

    def _body(self, customer_id: str, given: Body) -> Body:
        number = digits(given.get("cpfCnpj"))
        return {
            "object": "customer",
            "id": customer_id,
            "dateCreated": self._book.today().isoformat(),
            **{name: given.get(name) for name in FIELDS},
            "cpfCnpj": number,
            "personType": "FISICA" if len(number) <= 11 else "JURIDICA",
            "deleted": False,
            "notificationDisabled": bool(given.get("notificationDisabled", False)),
            "canDelete": True,
            "canEdit": True,
            "country": given.get("country") or "Brasil",
        }

    @staticmethod
    def _check(given: Body, *, new: bool) -> None:
        if new and not given.get("name"):
            raise Refusal("invalid_name", "O campo name deve ser informado.")
        if (new or "cpfCnpj" in given) and not is_cpf_or_cnpj(digits(given.get("cpfCnpj"))):
            raise Refusal("invalid_object", "O CPF/CNPJ informado é inválido.")
        for name in ("mobilePhone", "phone"):
            if given.get(name) and not is_phone(str(given[name])):
                raise Refusal(f"invalid_{name}", "O telefone informado é inválido.")
