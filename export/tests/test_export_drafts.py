"""Draft texts are what the model said, each once, the commonest first; what no role has is refused."""

import json

import pytest

from rsmoe_export.drafts import checked, gather


def _caption(text, *experts, source="generated"):
    keys = ("name", "prompt", "prompt_source", "text")
    return {"caption": text, "experts": [dict(zip(keys, (n, p, source, t), strict=True)) for n, p, t in experts]}


def test_texts_are_gathered_by_role_once_each_and_the_commonest_comes_first(tmp_path):
    full = [
        _caption("A. B.", ("theme", "Name it.", "A."), ("objects", "List.", "B.")),
        _caption("A. C.", ("theme", "Name that.", "A."), ("objects", "List.", "C.")),
        _caption("A. C.", ("theme", "Name that.", "A."), ("objects", "List.", "C.")),
        _caption("A. D.", ("theme", "fixed", "A."), ("objects", "fixed", "D."), source="fixed"),
        {"input": "x", "error": {"kind": "input"}},
    ]
    brief = [_caption("a road ."), _caption("a lake ."), _caption("a lake .")]
    files = [tmp_path / "full.jsonl", tmp_path / "brief.jsonl"]
    for file, lines in zip(files, (full, brief), strict=True):
        file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert gather(files) == {
        "caption": ["a lake .", "a road ."],
        "router": ["Name that.\nList.", "Name it.\nList."],
        "experts": {"theme": ["A."], "objects": ["C.", "B.", "D."]},
    }


def test_lines_that_are_no_captions_are_refused_with_their_place(tmp_path):
    for text in ('{"answer": "no"}\n', "no json\n"):
        (tmp_path / "a.jsonl").write_text(text)
        with pytest.raises(ValueError, match=r"a\.jsonl:1: no line of `rsmoe caption"):
            gather([tmp_path / "a.jsonl"])
    with pytest.raises(ValueError, match="nothing to draft from"):
        gather([])


def test_texts_of_nobody_are_refused(tmp_path):
    path = tmp_path / "drafts.json"
    path.write_text('{"router": ["a"], "experts": {"theme": ["b"]}}')
    assert checked(path, ["theme"]) == path.read_bytes()
    with pytest.raises(ValueError, match="no role of the package: theme"):
        checked(path, ["objects"])
    path.write_text('{"poems": []}')
    with pytest.raises(ValueError, match="poems"):
        checked(path, ["objects"])
