"""The comparison as a Markdown table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

#: Heading, name of the figure, and how it is written.
COLUMNS: tuple[tuple[str, str, str], ...] = (
    ("load, ms", "load_ms", ".0f"),
    ("load and first caption, ms", "first_caption_ms", ".0f"),
    ("first token, ms", "first_token_ms", ".0f"),
    ("one image, ms", "one_ms", ".0f"),
    ("with vision and reading, ms", "one_whole_ms", ".0f"),
    ("tokens/s", "tokens_per_s", ".1f"),
    ("scene, tiles/s", "tiles_per_s", ".2f"),
    ("with vision and reading, tiles/s", "tiles_per_s_whole", ".2f"),
    ("tiles together", "tiles_per_batch", ".0f"),
    ("peak RSS, MiB", "peak_rss_mib", ".0f"),
    ("processor time, % of threads x wall", "cpu_share", ".0%"),
)


def markdown(conditions: str, medians: dict[str, dict[str, Any]], problems: dict[str, str]) -> str:
    """The table, what to know about each line, and who could not run and why."""
    width = len(COLUMNS) + 1
    lines = [conditions, "", _row(["", *(heading for heading, _, _ in COLUMNS)]), _row(["---"] * width)]
    for name, figures in medians.items():
        lines.append(_row([name, *(_cell(figures, figure, form) for _, figure, form in COLUMNS)]))
    for name in problems:
        lines.append(_row([name, "did not run", *[""] * (width - 2)]))
    lines.append("")
    lines += _list(medians, lambda figures: "; ".join(figures["notes"]))
    lines += _list(problems, lambda reason: f"did not run: {reason}")
    return "\n".join(lines) + "\n"


def _list(entries: dict[str, Any], text: Callable[[Any], str]) -> list[str]:
    return [f"- {name}: {text(entry)}" for name, entry in entries.items()]


def _cell(figures: dict[str, Any], name: str, form: str) -> str:
    return format(figures[name], form) if name in figures else "–"


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
