"""Pictures as inline SVG, drawn on the server: no script, and the words stand in the table beside it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from html import escape

KINDS = {
    "delivered": "good",
    "waiting": "busy",
    "stale": "neutral",
    "filtered": "neutral",
    "discarded": "neutral",
    "unmapped": "neutral",
    "older": "warning",
    "missing": "bad",
    "dead": "bad",
}
"""Each verdict with the colour that it has everywhere; from the bottom of a bar to its top."""
ORDER = ("good", "busy", "neutral", "warning", "bad")
MOST_BARS = 62
WIDTH, HEIGHT, FOOT = 720, 150, 20


def bars(days: Mapping[str, Mapping[str, int]]) -> str:
    """Return a bar for each day (for each run of days where there are many), divided by kind."""
    grouped = _grouped(days)
    if not grouped:
        return ""
    top = max(sum(counted.values()) for _, counted in grouped) or 1
    step = WIDTH / len(grouped)
    wide = min(step * 0.7, 40)
    drawn = []
    for place, (label, counted) in enumerate(grouped):
        left, foot = place * step + (step - wide) / 2, float(HEIGHT)
        said = ", ".join(f"{name} {number}" for name, number in counted.items())
        drawn.append(f"<g><title>{escape(label)}: {escape(said)}</title>")
        for kind in ORDER:
            number = sum(count for name, count in counted.items() if KINDS.get(name, "neutral") == kind)
            if number:
                high = max(number / top * (HEIGHT - 8), 2.0)
                foot -= high
                drawn.append(
                    f'<rect class="mark-{kind}" x="{left:.1f}" y="{foot:.1f}" width="{wide:.1f}" height="{high:.1f}"/>'
                )
        drawn.append("</g>")
    shown = {0, len(grouped) - 1} if len(grouped) > 10 else set(range(len(grouped)))
    for place in sorted(shown):
        at, anchor = place * step + step / 2, "middle"
        if len(grouped) > 10:
            at, anchor = (0.0, "start") if place == 0 else (float(WIDTH), "end")
        label = grouped[place][0]
        drawn.append(f'<text x="{at:.1f}" y="{HEIGHT + FOOT - 5}" text-anchor="{anchor}">{escape(label)}</text>')
    drawn.append(f'<line x1="0" x2="{WIDTH}" y1="{HEIGHT}" y2="{HEIGHT}"/>')
    return f'<svg class="bars" viewBox="0 0 {WIDTH} {HEIGHT + FOOT}" role="presentation">{"".join(drawn)}</svg>'


def _grouped(days: Mapping[str, Mapping[str, int]]) -> list[tuple[str, dict[str, int]]]:
    names = sorted(name for name in days if name)
    each = -(-len(names) // MOST_BARS) if names else 1
    grouped = []
    for start in range(0, len(names), each):
        together: dict[str, int] = {}
        for name in names[start : start + each]:
            for verdict, number in days[name].items():
                together[verdict] = together.get(verdict, 0) + number
        grouped.append((_short(names[start]), together))
    return grouped


def _short(day: str) -> str:
    try:
        return f"{date.fromisoformat(day):%d/%m}"
    except ValueError:
        return day
