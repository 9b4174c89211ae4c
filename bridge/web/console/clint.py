"""Clint's side of the connections: its API, the origins to choose from, and the check of what it has."""

from __future__ import annotations

from collections import Counter
from typing import Any

from flask import Blueprint
from flask.typing import ResponseReturnValue

from bridge.clint.directory import Directory
from bridge.errors import BridgeError, ConsoleBusy
from bridge.journal.jobs import newest
from bridge.mapping.model import ClintDirectory
from bridge.mapping.values import folded
from bridge.messages import Message
from bridge.operations.clint import run_checks
from bridge.operations.doctor import check_data
from bridge.web.console import jobs, layout
from bridge.web.console.access import person, runtime
from bridge.web.console.jobs import JobContext, Result, external_call

pages = Blueprint("clint", __name__)

KIND = "clint"


@pages.post("/connections/clint/check")
def check() -> ResponseReturnValue:
    """Begin the check of everything, or show the one that runs."""
    return jobs.running_job(KIND, "") or jobs.begin(KIND, "", checked, {})


def checked(context: JobContext) -> Result:
    """Check what Clint has: for one destination where the job names it."""
    found: list[dict[str, Any]] = []
    only = str(context.params.get("destination", ""))
    for one in run_checks(context.runtime, lambda: context.runtime.journal, only):
        found.append(check_data(one, Message.to_json))
        context.update(len(found), None)
    return {"checks": found}


def check_destination(name: str) -> ResponseReturnValue:
    """Start the check of Clint for one destination, or without a name for all."""
    try:
        return jobs.begin(KIND, name, checked, {"destination": name})
    except ConsoleBusy:  # it is stored all the same
        return layout.go("console.connections.show")


def test_destination(name: str) -> ResponseReturnValue:
    """Begin the test of an API destination, or show the one that runs."""
    return jobs.running_job(KIND, name) or jobs.begin(KIND, name, checked, {"destination": name})


def summary() -> dict[str, Any]:
    """Return whether there is a token, whether the environment sets it, and the last check of everything."""
    with runtime.journal.database.read() as connection:
        last = newest(connection, KIND, runtime.clock_ms(), about="") if person.accounts is None else []
    is_fixed = bool(runtime.settings.clint_api_token)
    return {"has_token": runtime.clint_api is not None, "is_fixed": is_fixed, "job": last[0] if last else None}


def origins_to_choose(current: str) -> dict[str, Any]:
    """Return the origins of Clint to choose from, or why they are not known.

    Each has the text by which a destination names it. `current` is the origin that the destination has; one that
    Clint does not have is among the choices too.
    """
    api = runtime.clint_api
    if api is None:
        return {"origins": []}
    try:
        clint = ClintDirectory(external_call(Directory(api).origins))
    except BridgeError as error:
        return {"origins": [], "origins_error": error}
    called = Counter(name for name, _ in clint.origins.values())
    named = clint.named_origins(current)
    chosen = named[0] if len(named) == 1 else ""
    rows = [
        {
            "value": id_ if called[name] > 1 else name,
            "name": name,
            "stages": [label for _, label in stages],
            "is_chosen": id_ == chosen,
        }
        for id_, (name, stages) in sorted(clint.origins.items(), key=lambda one: folded(one[1][0]))
    ]
    return {"origins": rows, "lost_origin": "" if chosen else current}
