"""`bridge test-charge --scenario life`: a table of steps, with the expected deal and the one in Clint.

Exit status 0 means that every step that the sandbox can do is proved. What was made at Asaas is removed, also after
Ctrl-C.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from bridge.cli.output import LiveLog, is_terminal, plain, row_data, show_json, show_table
from bridge.mapping.catalogue import event_label
from bridge.mapping.values import facts_data
from bridge.messages import Message, _, pgettext
from bridge.operations.life import Leftover, Life, Step, StepResult
from bridge.operations.proof import VERDICTS, Verdict

if TYPE_CHECKING:
    from bridge.asaas.charges import ChargeRequest
    from bridge.runtime import Runtime

_STYLES = {
    Verdict.FILTERED: "green",
    Verdict.PROVED: "bold green",
    Verdict.CONTRADICTED: "bold red",
    Verdict.NOT_CONFIRMED: "yellow",
    Verdict.SKIPPED: "dim",
}


def run_life(runtime: Runtime, account: str, order: ChargeRequest, timeout_s: float, *, as_json: bool) -> bool:
    """Do the steps and print their table; return whether every step that was not skipped is proved."""
    printer = LifePrinter(quiet=as_json)
    life = Life(runtime, account, order, printer, timeout_s)
    try:
        life.run()
    finally:
        if as_json:
            show_json(life_data(life))
        else:
            printer.table(life.results)
            printer.left(life.not_removed())
    if not as_json:
        printer.verdict(life)
    return life.proved


class LifePrinter(LiveLog):
    """Prints what happens in each step, then the table."""

    def begins(self, step: Step) -> None:
        self.print("bridge", _("step: {step}", step=_(step.title)), "bold")

    def ends(self, result: StepResult) -> None:
        reasons = "; ".join(plain(one.what) for one in result.reasons)
        said = f"{_(result.step.title)}: {_(VERDICTS[result.verdict])}"
        self.print("bridge", f"{said} ({reasons})" if reasons else said, _STYLES[result.verdict])

    def table(self, results: Sequence[StepResult]) -> None:
        """Print a row for each event and mapping of each step, on a pipe with aligned columns."""
        headers = (_("STEP"), _("EVENT"), _("MAPPING"), pgettext("of a step", "EXPECTED"), _("SEEN"), _("VERDICT"))
        rows = [row for result in results for row in _rows(result)]
        if not rows:
            return
        self.out.print()
        if is_terminal():
            table = Table(box=None, pad_edge=False, header_style="bold")
            for header in headers:
                table.add_column(header, overflow="fold")
            for cells, verdict in rows:
                table.add_row(*map(Text, cells), Text(_word(verdict), _STYLES[verdict] if verdict else "dim"))
            self.out.print(table)
        else:
            show_table(headers, [(*cells, _word(verdict)) for cells, verdict in rows])
        if any(verdict is None for cells, verdict in rows):
            self.out.print(_("Of several deliveries to one deal, only the last is judged."))
        self.out.print()

    def left(self, left: Sequence[Leftover]) -> None:
        """Print what was not removed, with the reason."""
        kinds = {"charge": _("charges"), "customer": _("customers"), "deal": _("deals")}
        ids: dict[tuple[str, str], list[str]] = {}
        for one in left:
            ids.setdefault((one.kind, plain(one.why)), []).append(one.id)
        for (kind, why), some in ids.items():
            text = _("not removed: {kind} {ids} ({why})", kind=kinds[kind], ids=", ".join(some), why=why)
            self.print("clint" if kind == "deal" else "asaas", text, "dim")

    def verdict(self, life: Life) -> None:
        """Print what to do about each step that is not proved, and whether all are."""
        todo = dict.fromkeys(
            plain(one.mend)
            for result in life.results
            if result.verdict is not Verdict.SKIPPED
            for one in result.reasons
            if one.mend
        )
        for text in todo:
            self.print("bridge", text, "yellow")
        text = _("proved: every step that the sandbox can do") if life.proved else _("not every step is proved")
        self.print("bridge", text, "bold green" if life.proved else "bold red")


def _rows(result: StepResult) -> Iterator[tuple[tuple[str, ...], Verdict | None]]:
    title = _(result.step.title)
    for line in result.lines:
        cells = (title, event_label(line.event), line.mapping, plain(line.expected), plain(line.seen))
        yield cells, line.verdict
        title = ""
    if not result.lines:
        reasons = "; ".join(plain(one.what) for one in result.reasons)
        yield (title, "", "", "", reasons), result.verdict


def _word(verdict: Verdict | None) -> str:
    return _(VERDICTS[verdict]) if verdict else "–"


def life_data(life: Life) -> dict[str, Any]:
    """Return a life for --json; sentences are English, with their facts."""
    return {
        "proved": life.proved,
        "account": life.account,
        "billing_type": life.order.billing_type,
        "steps": [step_data(one) for one in life.results],
        "left": [{"kind": one.kind, "id": one.id, **_said("why", one.why)} for one in life.not_removed()],
    }


def step_data(result: StepResult) -> dict[str, Any]:
    return {
        "step": result.step.name,
        "verdict": result.verdict,
        "payments": list(result.payment_ids),
        "reasons": [{"code": one.code, **_said("what", one.what), **_said("mend", one.mend)} for one in result.reasons],
        "lines": [
            {**row_data(line), **_said("expected", line.expected), **_said("seen", line.seen)} for line in result.lines
        ],
    }


def _said(name: str, text: Message) -> dict[str, Any]:
    return {name: str(text), f"{name}_facts": facts_data(text.facts)}
