"""The origins, stages, users, lost reasons and fields of a Clint account, found by id or name.

Each list is read once in ten minutes, and anew where a name is not in it; while Clint can't be asked the last one
counts. Names are compared without case, accents and surrounding space.
"""

from __future__ import annotations

from bridge.clint.api import ClintApi, Origin, Stage


class Directory:
    """The names of one Clint account; threads may share it. Raises ClintApiFailed where nothing could be read yet."""

    def __init__(self, api: ClintApi) -> None: ...

    def origin(self, name: str) -> Origin:
        """Return the origin of that id or name. Raises ClintNameUnknown (`origin`); archived ones are left out."""
        raise NotImplementedError

    def stage(self, origin: str, name: str) -> Stage:
        """Return the stage of that id or label in the origin. Raises ClintNameUnknown (`origin` or `stage`)."""
        raise NotImplementedError

    def stage_id(self, origin: str, name: str) -> str:
        """Return the id of a stage. Raises ClintNameUnknown (`origin` or `stage`)."""
        raise NotImplementedError

    def user_id(self, email: str) -> str:
        """Return the id of the user with that e-mail. Raises ClintNameUnknown (`user`)."""
        raise NotImplementedError

    def field_key(self, group: str, key: str) -> str:
        """Return the account's key of a field of `deal`, `contact` or `organization`, else the key as it is given."""
        raise NotImplementedError

    def forget(self) -> None:
        """Read every list anew when it is needed next."""
        raise NotImplementedError
