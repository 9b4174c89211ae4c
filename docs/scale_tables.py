"""The tables of docs/scale.md, from what `make bench-hosts` and `make scale` have left."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from tests.scale.demand import MEASURED, Costs, Habits, costs_list, demand_table, habits_list

SPREAD = 0.5
"""Of Clint's answer, as the simulation has it."""
_SIMULATED = Path(__file__).with_name("scale.json")


def demand() -> str:
    """Return the arithmetic for several numbers of merchants."""
    return demand_table(Habits(), Costs.measured())


def assumed() -> str:
    """Return what is assumed of merchants."""
    return habits_list(Habits())


def measured() -> str:
    """Return what was measured."""
    return costs_list(Costs.measured())


def rates() -> str:
    """Return how fast workers on hosts of their own drained a backlog."""
    told = json.loads(MEASURED.read_text())
    lines = [
        "| workers | deliveries/s | worker, CPU each | PostgreSQL, CPU each | cores busy |",
        "| ---: | ---: | ---: | ---: | ---: |",
    ]
    lines += [
        f"| {rate['workers']} | {rate['per_s']:,.0f} | {rate['worker_ms']:.1f} ms | {rate['postgresql_ms']:.1f} ms |"
        f" {rate['cores_busy']:.1f} |"
        for rate in told["rates"]
    ]
    return "\n".join([*lines, "", told["cut"]["words"], "", f"Commit {told['commit']}, {told['cores']} cores."])


def burst() -> str:
    """Return what was simulated."""
    told = _simulated()
    events = told["workers"][0]["events"]
    return (
        f"{told['merchants']:,} merchants: {events:,} events begin within {told['seconds'] / 60:.0f} minutes,"
        f" {told['per_s']:,.0f} a second; the median of Clint's answer is {told['clint_s'] * 1000:.0f} ms."
    )


def webs() -> str:
    """Return the answers for each number of web processes."""
    lines = ["| web processes | answer p50 | answer p99 | each busy |", "| ---: | ---: | ---: | ---: |"]
    lines += [
        f"| {run['webs']} | {run['answer_p50_ms']:.1f} ms | {run['answer_p99_ms']:.1f} ms | {run['web_busy']:.0%} |"
        for run in _simulated()["webs"]
    ]
    return "\n".join(lines)


def pace() -> str:
    """Return how many sends a worker has on their way, and how many a second that makes."""
    told = _simulated()
    sends, mean_s = told["workers"][0]["sends"], told["clint_s"] * math.exp(SPREAD * SPREAD / 2)
    return (
        "Not only its core sets a worker's pace, but also Clint's answer: it has at most"
        f" `BRIDGE_WORKER_SENDS` = {sends} sends\non their way, and so many that take {mean_s:.2f} s on average are"
        f' {sends / mean_s:,.0f} a second.\nWhere "worker busy" is far below 100 % and events wait, raise it before you'
        " add workers."
    )


def workers() -> str:
    """Return the deliveries for each number of workers."""
    return _deliveries("workers")


def lanes() -> str:
    """Return the deliveries for each number of lanes."""
    return _deliveries("lanes")


def _deliveries(which: str) -> str:
    lines = [
        "| workers | lanes | delivered after, p50 | p99 | most waiting | all delivered after | worker busy |",
        "| ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    lines += [
        f"| {run['workers']} | {run['lanes']} | {run['delivery_p50_s']:,.1f} s | {run['delivery_p99_s']:,.1f} s |"
        f" {run['most_waiting']:,} | {run['ended_s'] / 60:,.1f} min | {run['worker_busy']:.0%} |"
        for run in _simulated()[which]
    ]
    return "\n".join(lines)


def _simulated() -> Any:
    return json.loads(_SIMULATED.read_text())
