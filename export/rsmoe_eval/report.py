"""The figures as text: one table after another, in the order of the results."""

from __future__ import annotations

from collections.abc import Iterator

CAPTION_COLUMNS = [
    "BLEU-1",
    "BLEU-2",
    "BLEU-3",
    "BLEU-4",
    "METEOR",
    "ROUGE-L",
    "CIDEr",
    "CIDEr s.e.",
    "sentence precision",
    "sentence recall",
    "sentence F",
    "copies",
    "words",
]
OBJECT_COLUMNS = [
    "objects per caption",
    "object precision",
    "object recall",
    "object F1",
    "hallucination rate",
    "hallucinations per caption",
    "captions with a hallucination",
]
QUESTION_COLUMNS = [
    "questions",
    "right",
    "right if pressed",
    "not sure",
    "blind, by kind",
    "blind, by text",
    "error",
    "blind error, by text",
]


def _cell(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def table(title: str, columns: list[str], rows: dict[str, dict]) -> Iterator[str]:
    """A Markdown table: one row for each name; values by column, empty where a row has none."""
    used = [column for column in columns if any(column in row for row in rows.values())]
    cells = [[title, *used], *([name, *(_cell(row.get(column)) for column in used)] for name, row in rows.items())]
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
    for number, row in enumerate(cells):
        aligned = [
            row[0].ljust(widths[0]),
            *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)),
        ]
        yield f"| {' | '.join(aligned)} |"
        if number == 0:
            yield f"|{'|'.join('-' * (width + 2) for width in widths)}|"
    yield ""


def rows(title: str, scores: dict[str, dict]) -> Iterator[str]:
    """Scores and objects of one set of images."""
    yield from table(f"captions: {title}", CAPTION_COLUMNS, {k: r for k, r in scores.items() if "CIDEr" in r})
    yield from table(f"objects: {title}", OBJECT_COLUMNS, scores)


def captions(result: dict) -> Iterator[str]:
    """Captions, objects and themes of each source."""
    for source, part in result.items():
        yield from rows(f"{source}, {part['images']} images", part["rows"])
        if "known class" in part:
            known = part["known class"]
            yield from rows(f"{source}, {known['images']} images of a known class", known["rows"])
        if part["annotators"]:
            columns = ["CIDEr", *OBJECT_COLUMNS]
            yield from table(f"{source}: against all references but one", columns, part["annotators"])
    themes = {source: part["themes"] for source, part in result.items()}
    yield from table("scene class", ["images", "named", "named strictly", "chosen"], themes)


def questions(result: dict) -> Iterator[str]:
    """Questions by group and kind, overall, and reliability."""
    rows = {f"{group}: {kind}": row for group, kinds in result["groups"].items() for kind, row in kinds.items()}
    rows |= {f"overall: {name}": row for name, row in result["overall"].items()}
    yield from table("questions", QUESTION_COLUMNS, rows)
    yield from reliability(result["reliability"])


def reliability(result: dict) -> Iterator[str]:
    """Calibration errors, and the bins over all scored choices."""
    yield from table("calibration", ["answers", "right", "ECE", "ECE equal mass"], result)
    if "all" in result:
        for name in ("bins", "bins equal mass"):
            bins = {str(number): row for number, row in enumerate(result["all"][name], 1)}
            yield from table(f"reliability, {name}", ["count", "confidence", "right"], bins)


def honesty(result: dict) -> Iterator[str]:
    """AUROC and "not sure" by kind of image."""
    kinds = {kind: {"images": count} for kind, count in result["images"].items()}
    for measure in ("AUROC", "mean confidence", "not sure"):
        for name, values in result[measure].items():
            for kind, value in values.items():
                kinds.setdefault(kind, {})[f"{measure}: {name}"] = value
    columns = [f"{measure}: {name}" for measure in ("AUROC", "mean confidence", "not sure") for name in result[measure]]
    yield from table("empty and foreign images", ["images", *columns], kinds)


def variants(result: dict) -> Iterator[str]:
    """Variants side by side, and what each loses against fp32."""
    rows: dict[str, dict] = {}
    for variant, sources in result.items():
        for source, scores in sources.items():
            row = dict(scores)
            if "fp32" in result:
                row["CIDEr against fp32"] = scores["CIDEr"] / max(result["fp32"][source]["CIDEr"], 1e-9) - 1
            rows[f"{source}: {variant}"] = row
    columns = ["CIDEr", "CIDEr s.e.", "CIDEr against fp32", "theme named", "theme chosen"]
    yield from table("variants", columns, rows)


PARTS = {"captions": captions, "questions": questions, "honesty": honesty, "variants": variants}


def text(results: dict) -> str:
    """All tables."""
    lines = [
        f"{results['model']} {results['variant']}, rsmoe_eval run" + (" (limited)" if results["limit"] else ""),
        "",
    ]
    for name, part in PARTS.items():
        if name in results:
            lines += part(results[name])
    return "\n".join(lines)
