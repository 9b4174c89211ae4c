"""Every error that the bridge raises on purpose: one place, one code, one sentence, one line."""

from __future__ import annotations

import pickle
import pkgutil
import re
from collections.abc import Iterator
from importlib import import_module
from types import ModuleType

import pytest

import bridge
from bridge import errors
from bridge.errors import BridgeError, SettingsError

LIVES_ELSEWHERE = ("bridge.simulator", "bridge.journal.migrations")
"""The simulators are the other side, and migrations are scripts that only Alembic can run."""


def everything() -> Iterator[ModuleType]:
    """Import each module of the bridge, so that no error class can hide."""
    for found in pkgutil.walk_packages(bridge.__path__, "bridge.", onerror=lambda name: None):
        if not found.name.startswith(LIVES_ELSEWHERE) and not found.name.endswith("__main__"):
            yield import_module(found.name)


def family(of: type[BridgeError]) -> Iterator[type[BridgeError]]:
    """Return the class and all below it."""
    yield of
    for child in of.__subclasses__():
        yield from family(child)


def within(module: str) -> bool:
    """Say whether this is the package of errors, or a module in it."""
    return module.split(".")[:2] == errors.__name__.split(".")


ERRORS = sorted(
    {cls for cls in family(BridgeError) if within(cls.__module__)}, key=lambda cls: (cls.code, cls.__name__)
)
PLAIN = [cls for cls in ERRORS if cls is not SettingsError]


def test_all_errors_live_in_one_package() -> None:
    """No module of the bridge has a family of errors of its own."""
    list(everything())

    assert [cls for cls in family(BridgeError) if not within(cls.__module__)] == []


def test_codes_are_unique() -> None:
    """A code names one class: the journal and logs are searched by it."""
    codes = [cls.code for cls in ERRORS]

    assert sorted(set(codes)) == codes


@pytest.mark.parametrize("cls", ERRORS)
def test_an_error_has_a_code_a_sentence_and_an_end(cls: type[BridgeError]) -> None:
    """The class itself has a code, as family and name; its docstring is the default message, of one line.

    Exit statuses are 1 (the answer is no) or 2 (wrong use), HTTP statuses are errors.
    """
    assert "code" in vars(cls)
    assert re.fullmatch(r"[a-z]+\.[a-z_]+", cls.code)
    sentence = (vars(cls).get("__doc__") or "").strip()
    assert sentence
    assert "\n" not in sentence
    assert len(sentence) <= 110
    assert sentence[0].islower() or sentence.split()[0] in {"Asaas", "Clint", "Redis"}
    assert not sentence.endswith(".")
    assert not sentence.startswith("error")
    assert cls.exit_status in {1, 2}
    assert 400 <= cls.http_status <= 599


def test_the_text_has_three_parts() -> None:
    """What, where and what to do make one line; parts that are not given leave no trace."""
    for cls in PLAIN:
        whole = cls("port must be below 65536, got 70000", where="PORT", hint="choose another")

        assert str(whole) == "port must be below 65536, got 70000; PORT; choose another"
        assert str(cls(hint="choose another")) == f"{cls.__doc__}; choose another"
        assert str(cls()) == cls.__doc__


def test_an_error_survives_pickling() -> None:
    """An error that travels between processes keeps its text."""
    for cls in PLAIN:
        error = cls("what", where="where", hint="mend")

        assert str(pickle.loads(pickle.dumps(error))) == str(error)  # noqa: S301 (made one line above)


def test_settings_errors_say_everything_at_once() -> None:
    """Every problem of the environment is a line of the one error, also after pickling."""
    error = pickle.loads(pickle.dumps(SettingsError(["PORT is wrong", "REDIS_URL is wrong"])))  # noqa: S301

    assert str(error) == "PORT is wrong\nREDIS_URL is wrong"
    assert tuple(map(str, error.problems)) == ("PORT is wrong", "REDIS_URL is wrong")
