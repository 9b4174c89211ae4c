"""How the simulated Clint's API behaves where nobody knows what the real one does."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

CHOICES = {
    "unknown_fields": frozenset({"keep", "drop", "refuse"}),
    "deal_name": frozenset({"deal", "contact"}),
    "fields_shape": frozenset({"keyed", "single"}),
}
EXTRAS = frozenset({"value", "currency", "stage", "updated_at"})


@dataclass
class Knobs:
    """Set with `turn`, or over HTTP with `POST /_sim/knobs`."""

    late_s: float = 0.0
    """For how long lists show a deal as it was before a write, and do not show a new one; by id it is current."""
    contacts_late_s: float = 0.0
    """For how long lists of contacts do not show a new one."""
    deal_extras: tuple[str, ...] = ()
    """The keys that answers have beyond the document, of EXTRAS."""
    unknown_fields: str = "keep"
    """What becomes of fields that the account lacks: keep, drop or refuse; the last one holds types too."""
    key_length: int = 0
    """Keys of fields are cut to so many characters, in what is written and in what is answered; 0: they are whole."""
    has_plan: bool = True
    """Without the plan that has the API, every request of it is a 403."""
    deal_name: str = "deal"
    """Whose `name` a deal's body has: the deal's, or the contact's as the document's example says."""
    fields_shape: str = "keyed"
    """How /account/fields answers: fields by key, or `single`, one field of each group in each part, as documented."""

    def turn(self, **knobs: Any) -> None:
        """Set some knobs; raises ValueError for a name or a choice that does not exist, and then sets none."""
        known = {one.name for one in fields(self)}
        for name, value in knobs.items():
            is_choice = value in CHOICES[name] if name in CHOICES else name != "deal_extras" or EXTRAS.issuperset(value)
            if name not in known or not is_choice:
                raise ValueError(f"{name}: {value} is no knob")
        for name, value in knobs.items():
            setattr(self, name, value)

    def cut(self, key: str) -> str:
        """Return a field's key as the account has it."""
        return key[: self.key_length] if self.key_length else key
