"""Writes tokenizer.json files (the format of Hugging Face `tokenizers`) from vocabularies and merges."""

from __future__ import annotations

import json
from collections.abc import Sequence


def byte_alphabet() -> list[str]:
    """The printable character that stands for each byte in a byte-level vocabulary (GPT-2's table)."""
    plain = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    alphabet, extra = {byte: chr(byte) for byte in plain}, 256
    for byte in range(256):
        if byte not in alphabet:
            alphabet[byte] = chr(extra)
            extra += 1
    return [alphabet[byte] for byte in range(256)]


def byte_level_bpe(
    tokens: Sequence[str], merges: Sequence[str], special: Sequence[int], pre_tokenizer: dict[str, object] | None = None
) -> bytes:
    """tokenizer.json of a byte-level BPE. `tokens` by id, `merges` as "left right", ids of the special tokens."""
    document = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {
                "id": number,
                "content": tokens[number],
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
                "special": True,
            }
            for number in special
        ],
        "normalizer": None,
        "pre_tokenizer": pre_tokenizer or digits_then_bytes(),
        "post_processor": None,
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": {token: number for number, token in enumerate(tokens)},
            "merges": list(merges),
        },
    }
    return _json(document)


def digits_then_bytes() -> dict[str, object]:
    """SmolLM's splitting: every digit apart, then GPT-2's pattern over bytes."""
    return {
        "type": "Sequence",
        "pretokenizers": [{"type": "Digits", "individual_digits": True}, byte_level()],
    }


def byte_level(use_regex: bool = True) -> dict[str, object]:
    """Bytes to printable characters, after GPT-2's splitting pattern if `use_regex`."""
    return {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": use_regex}


def split_then_bytes(pattern: str) -> dict[str, object]:
    """Splitting by a regular expression, then bytes (Llama 3, Qwen 2)."""
    split = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
    return {"type": "Sequence", "pretokenizers": [split, byte_level(use_regex=False)]}


def word_piece(tokens: Sequence[str], max_tokens: int) -> bytes:
    """tokenizer.json of a BERT tokenizer (lower case, `[CLS] ... [SEP]`, cut to `max_tokens`). Ids 0..=4 are BERT's
    specials.
    """
    cls, sep = tokens.index("[CLS]"), tokens.index("[SEP]")
    document = {
        "version": "1.0",
        "truncation": {"direction": "Right", "max_length": max_tokens, "strategy": "LongestFirst", "stride": 0},
        "padding": None,
        "added_tokens": [
            {
                "id": number,
                "content": token,
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
                "special": True,
            }
            for number, token in enumerate(tokens)
            if token.startswith("[")
        ],
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": True,
            "strip_accents": None,
            "lowercase": True,
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [
                {"SpecialToken": {"id": "[CLS]", "type_id": 0}},
                {"Sequence": {"id": "A", "type_id": 0}},
                {"SpecialToken": {"id": "[SEP]", "type_id": 0}},
            ],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
            "special_tokens": {
                name: {"id": name, "ids": [number], "tokens": [name]}
                for name, number in (("[CLS]", cls), ("[SEP]", sep))
            },
        },
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {
            "type": "WordPiece",
            "unk_token": "[UNK]",
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
            "vocab": {token: number for number, token in enumerate(tokens)},
        },
    }
    return _json(document)


def _json(document: dict[str, object]) -> bytes:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
