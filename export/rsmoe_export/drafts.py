"""Draft texts: what a package's model says, gathered from its captions, so that the next ones take fewer steps."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

#: Largest file that the runtime reads, bytes.
LARGEST = 1 << 20


def gather(captions: Iterable[Path]) -> dict[str, object]:
    """The distinct texts of JSON lines of `rsmoe caption --jsonl`, by role, the commonest first.

    Full captions give the router's lines and the experts' texts, brief ones themselves.

    Raises:
        ValueError: a line is no caption, or there is no text at all.
    """
    brief: Counter[str] = Counter()
    router: Counter[str] = Counter()
    experts: dict[str, Counter[str]] = {}
    for path in captions:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            try:
                record = json.loads(line)
                if "error" in record:
                    continue
                written, text = record["experts"], record["caption"]
                lines = [(expert["prompt"], expert["prompt_source"]) for expert in written]
                texts = [(expert["name"], expert["text"]) for expert in written]
            except (ValueError, KeyError, TypeError) as error:
                raise ValueError(f"{path}:{number}: no line of `rsmoe caption --jsonl`: {error!r}") from error
            if not written:
                brief[text] += 1
            if lines and all(source == "generated" for _, source in lines):
                router["\n".join(prompt for prompt, _ in lines)] += 1
            for name, said in texts:
                experts.setdefault(name, Counter())[said] += 1
    if not brief and not experts:
        raise ValueError("no captions: nothing to draft from")

    def ordered(texts: Counter[str]) -> list[str]:
        return [text for text, _ in texts.most_common() if text]

    drafts: dict[str, object] = {"caption": ordered(brief), "router": ordered(router)}
    return drafts | {"experts": {name: ordered(texts) for name, texts in experts.items()}}


def checked(path: Path, experts: Iterable[str]) -> bytes:
    """The content of a file of draft texts, for a package with these experts.

    Raises:
        ValueError: the runtime would refuse it.
    """
    content = path.read_bytes()
    if len(content) > LARGEST:
        raise ValueError(f"{path}: expected at most {LARGEST} bytes, found {len(content)}")
    drafts = json.loads(content)
    unknown = set(drafts) - {"caption", "answer", "router", "experts"} | set(drafts.get("experts", {})) - set(experts)
    if unknown:
        raise ValueError(f"{path}: no role of the package: {', '.join(sorted(unknown))}")
    return content
