"""Customers of the simulated Asaas, with the sandbox's checks: CPF or CNPJ by its digits, no made-up phone."""

from __future__ import annotations

from typing import Any

from bridge.simulator.asaas.rules import Arguments, Missing, Refusal, page
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


def _check_digit(numbers: list[int], weights: list[int]) -> int:
    rest = sum(number * weight for number, weight in zip(numbers, weights, strict=True)) % 11
    return 0 if rest < 2 else 11 - rest


def cpf_of(base: int) -> str:
    """Make the valid CPF that begins with these nine digits.

    >>> cpf_of(249715637)
    '24971563792'
    """
    numbers = [int(digit) for digit in f"{base:09d}"]
    for length in (9, 10):
        numbers.append(_check_digit(numbers, list(range(length + 1, 1, -1))))
    return "".join(map(str, numbers))


def is_cpf_or_cnpj(text: str) -> bool:
    """Check the last two digits of a CPF (11 digits) or CNPJ (14)."""
    if len(text) == 11 and len(set(text)) > 1:
        return cpf_of(int(text[:9])) == text
    if len(text) != 14 or len(set(text)) == 1:
        return False
    numbers = [int(digit) for digit in text[:12]]
    weights = [5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2]
    numbers.append(_check_digit(numbers, weights))
    numbers.append(_check_digit(numbers, [6, *weights]))
    return "".join(map(str, numbers)) == text


def is_phone(text: str) -> bool:
    """Apply the sandbox's rule: length, and not one digit repeated after the area code."""
    number = digits(text)
    return 10 <= len(number) <= 13 and len(set(number[2:])) > 1


class Customers:
    def __init__(self, book: Book) -> None:
        self._book = book

    def create(self, given: dict[str, Any]) -> dict[str, Any]:
        """Add a customer; Asaas allows duplicates."""
        self._check(given, new=True)
        with self._book.lock:
            customer = self._body(self._book.ids.customer(), given)
            self._book.customers[customer["id"]] = customer
            return dict(customer)

    def load(self, bodies: list[dict[str, Any]]) -> None:
        """Add many customers with their own ids, unchecked, for load tests."""
        with self._book.lock:
            for given in bodies:
                self._book.customers[given["id"]] = self._body(given["id"], given)

    def get(self, customer_id: str) -> dict[str, Any]:
        with self._book.lock:
            return dict(self._find(customer_id))

    def update(self, customer_id: str, given: dict[str, Any]) -> dict[str, Any]:
        self._check(given, new=False)
        with self._book.lock:
            customer = self._find(customer_id)
            customer.update({name: given[name] for name in GIVEN & set(given)})
            return dict(customer)

    def delete(self, customer_id: str) -> dict[str, Any]:
        """Mark a customer as removed; Asaas emits no event."""
        with self._book.lock:
            self._find(customer_id)["deleted"] = True
            return {"deleted": True, "id": customer_id}

    def listed(self, arguments: Arguments) -> dict[str, Any]:
        names = ("name", "email", "cpfCnpj", "externalReference", "groupName")
        with self._book.lock:
            found = [
                dict(customer)
                for customer in reversed(self._book.customers.values())
                if not customer["deleted"]
                and all(customer.get(name) == arguments[name] for name in names if name in arguments)
            ]
        return page(found, arguments)

    def _find(self, customer_id: str) -> dict[str, Any]:
        customer = self._book.customers.get(customer_id)
        if customer is None:
            raise Missing(customer_id)
        return customer

    def _body(self, customer_id: str, given: dict[str, Any]) -> dict[str, Any]:
        body: dict[str, Any] = {
            "object": "customer",
            "id": customer_id,
            "dateCreated": self._book.today().isoformat(),
        }
        body.update({name: given.get(name) for name in FIELDS})
        body["cpfCnpj"] = digits(given.get("cpfCnpj"))
        body["personType"] = "FISICA" if len(body["cpfCnpj"]) <= 11 else "JURIDICA"
        body["deleted"] = False
        body["notificationDisabled"] = bool(given.get("notificationDisabled", False))
        body["canDelete"] = body["canEdit"] = True
        body["country"] = given.get("country") or "Brasil"
        return body

    @staticmethod
    def _check(given: dict[str, Any], *, new: bool) -> None:
        if new and not given.get("name"):
            raise Refusal("invalid_name", "O campo name deve ser informado.")
        if (new or "cpfCnpj" in given) and not is_cpf_or_cnpj(digits(given.get("cpfCnpj"))):
            raise Refusal("invalid_object", "O CPF/CNPJ informado é inválido.")
        for name in ("mobilePhone", "phone"):
            if given.get(name) and not is_phone(str(given[name])):
                raise Refusal(f"invalid_{name}", "O telefone informado é inválido.")
