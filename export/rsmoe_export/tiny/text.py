"""The tiny packages' tokenizers, learned from a few sentences."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

from rsmoe_export.tokenizer import byte_alphabet, byte_level_bpe, word_piece

#: Special tokens, ids 0, 1, 2.
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")

#: Bytes of readable ASCII: the newline, and space to tilde.
READABLE = (ord("\n"), *range(32, 127))

CORPUS = """
The scene is an airport. The scene is a farmland. The scene is a harbor. The scene is a forest. The scene is a river.
It shows planes, buildings and a runway. It shows boats, water and a pier. It shows trees, houses and a road.
Some planes are parked next to a terminal. Two boats are near the pier. The road is beside the river.
Name the scene. List the objects. Describe how the objects are arranged. Describe the image.
Name the scene with planes and buildings. List the objects of this airport.
Describe how planes and buildings are arranged.
Is there a road in the image? How many boats are there? user assistant router
""".strip()


def byte_pair_merges(text: str, count: int) -> list[tuple[str, str]]:
    """The `count` most frequent merges of a text's words (each with the space before it); ties go to the smaller
    pair.
    """
    alphabet = byte_alphabet()
    words = Counter(text.replace("\n", " ").split(" "))
    spelled = {tuple(alphabet[b] for b in f" {word}".encode()): times for word, times in words.items() if word}
    merges: list[tuple[str, str]] = []
    while len(merges) < count:
        pairs: Counter[tuple[str, str]] = Counter()
        for symbols, times in spelled.items():
            for pair in pairwise(symbols):
                pairs[pair] += times
        if not pairs:
            break
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        merged: dict[tuple[str, ...], int] = {}
        for symbols, times in spelled.items():
            out: list[str] = []
            for symbol in symbols:
                if out and (out[-1], symbol) == best:
                    out[-1] += symbol
                else:
                    out.append(symbol)
            merged[tuple(out)] = merged.get(tuple(out), 0) + times
        spelled = merged
    return merges


def language_tokenizer(merges: int, *, ascii_only: bool = False) -> tuple[bytes, list[str]]:
    """tokenizer.json of the language model, and its tokens by id: specials, bytes (or only readable ASCII), merged."""
    learned = byte_pair_merges(CORPUS, merges)
    alphabet = byte_alphabet()
    letters = [alphabet[byte] for byte in (READABLE if ascii_only else range(256))]
    tokens = [*SPECIAL, *letters, *(left + right for left, right in learned)]
    return byte_level_bpe(tokens, [f"{left} {right}" for left, right in learned], range(len(SPECIAL))), tokens


def instruction_tokenizer(max_tokens: int) -> tuple[bytes, list[str]]:
    """tokenizer.json of the Q-Former, and its tokens by id: specials, letters, a few words."""
    letters = "abcdefghijklmnopqrstuvwxyz0123456789.,?!'-"
    words = sorted({word.lower() for word in CORPUS.replace(".", " ").replace(",", " ").replace("?", " ").split()})
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{letter}" for letter in letters), *words]
    tokens = list(dict.fromkeys(tokens))
    return word_piece(tokens, max_tokens), tokens


def ascii_words(tokens: list[str]) -> list[int]:
    """Ids of tokens that read as printable ASCII or a newline: what a readable text may consist of."""
    alphabet = {character: byte for byte, character in enumerate(byte_alphabet())}
    return [
        number
        for number, token in enumerate(tokens)
        if number >= len(SPECIAL) and all(alphabet[character] in READABLE for character in token)
    ]
