"""The picture of docs/scale.md: events that wait, minute by minute, for each number of workers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from xml.sax.saxutils import escape

_WIDTH, _HEIGHT = 720, 320
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 110, 40, 40
_COLOURS = ("#b3261e", "#b26a00", "#2a6f97", "#2e7d32", "#5e35b1", "#455a64")


def picture(runs: Sequence[Mapping[str, Any]], merchants: int, seconds: float) -> str:
    """Return an SVG with a line for each run, and the same in words for who can't see it."""
    last_s = max(run["waiting"][-1][0] for run in runs) or 1
    most = max(run["most_waiting"] for run in runs) or 1
    across = (_WIDTH - _LEFT - _RIGHT) / last_s
    up = (_HEIGHT - _TOP - _BOTTOM) / most
    title = f"Events that wait at {merchants:,} merchants, by number of workers"
    words = "; ".join(
        f"{run['workers']} workers: at most {run['most_waiting']:,}, the last after {run['ended_s'] / 60:.0f} minutes"
        for run in runs
    )
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" font-family="sans-serif"'
        ' font-size="12" aria-labelledby="title words">',
        f'<title id="title">{escape(title)}</title><desc id="words">{escape(words)}</desc>',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#ffffff"/>',
        f'<text x="{_LEFT}" y="20" font-size="14" fill="#1a1a1a">{escape(title)}</text>',
    ]
    for share in (0, 0.5, 1):
        y = _HEIGHT - _BOTTOM - most * share * up
        parts.append(f'<line x1="{_LEFT}" y1="{y:.1f}" x2="{_WIDTH - _RIGHT}" y2="{y:.1f}" stroke="#dddddd"/>')
        parts.append(
            f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end" fill="#555555">{most * share:,.0f}</text>'
        )
    for minute in range(0, round(last_s / 60) + 1, max(1, round(last_s / 60 / 8))):
        x = _LEFT + minute * 60 * across
        parts.append(
            f'<text x="{x:.1f}" y="{_HEIGHT - _BOTTOM + 18}" text-anchor="middle" fill="#555555">{minute}</text>'
        )
    parts.append(f'<text x="{_WIDTH - _RIGHT + 8}" y="{_HEIGHT - _BOTTOM + 18}" fill="#555555">minutes</text>')
    ends = _LEFT + seconds * across
    parts.append(
        f'<line x1="{ends:.1f}" y1="{_TOP}" x2="{ends:.1f}" y2="{_HEIGHT - _BOTTOM}" stroke="#999999"'
        ' stroke-dasharray="4 3"/>'
    )
    for number, run in enumerate(runs):
        colour = _COLOURS[number % len(_COLOURS)]
        points = [(_LEFT + at_s * across, _HEIGHT - _BOTTOM - count * up) for at_s, count in run["waiting"]]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        y = _TOP + 10 + 18 * number
        name = f"{run['workers']} {'worker' if run['workers'] == 1 else 'workers'}"
        parts.append(f'<text x="{_WIDTH - _RIGHT + 8}" y="{y}" fill="{colour}">{name}</text>')
    return "\n".join([*parts, "</svg>", ""])
