"""A whole caption run and one question, as the runtime does them: router, experts, brief caption, greedy decoding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from tokenizers import Tokenizer

from rsmoe_export.reference.decoder import Cache, ReferenceDecoder


@dataclass
class Generated:
    """One greedy generation. `ids` without the stop token; `logprobs` of every step, the stop token's included."""

    ids: list[int]
    logprobs: list[float]
    finish: str
    text: str
    #: Smallest distance between the best and the second-best logit of any step.
    margin: float


@dataclass
class RunResult:
    """All generations of one run by name: brief, router, each expert's name, answer."""

    generated: dict[str, Generated] = field(default_factory=dict)
    prompts: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class ReferenceRun:
    """The runtime's control flow over reference decoders. `facts` is the manifest."""

    facts: Mapping[str, object]
    tokenizer: Tokenizer
    decoders: Mapping[str, ReferenceDecoder]

    def segment(self, name: str, image_tokens: int, **slots: str) -> list[int]:
        """Token ids of a segment list; the image slot becomes -1, -2, .. Each segment is tokenized on its own."""
        ids: list[int] = []
        for part in self.facts["language"]["prompts"][name]:
            if part.get("slot") == "image":
                ids += [-(number + 1) for number in range(image_tokens)]
            elif "slot" in part:
                ids += self._plain(slots[part["slot"]])
            else:
                ids += self.tokenizer.encode(part["text"], add_special_tokens=False).ids
        return ids

    def _plain(self, text: str) -> list[int]:
        """Ids of a user's text, in which the names of special tokens mean nothing."""
        plain = Tokenizer.from_str(self.tokenizer.to_str())
        plain.encode_special_tokens = True
        return plain.encode(text, add_special_tokens=False).ids

    def caption_and_ask(
        self, images: np.ndarray, instruction: str, question: str, question_images: np.ndarray
    ) -> RunResult:
        """Runs everything for one image; images and question_images `[image_tokens, hidden]` (the connector may read
        the text).
        """
        facts, result = self.facts, RunResult()
        captioner, router = facts["captioner"], facts["router"]
        limits = facts["generation"]["max_new_tokens"]
        prefix = self.segment("prefix", len(images)) + self.segment("instruction", 0, instruction=instruction)

        def generate(
            name: str,
            head: Sequence[int],
            tail: Sequence[int],
            role: Mapping[str, str],
            limit: int,
            embeddings: np.ndarray,
        ) -> Generated:
            decoder = self.decoders[role["decoder"]]
            names = [adapter.name for adapter in decoder.adapters]
            adapter = names.index(role["adapter"]) + 1 if role.get("adapter") else 0
            generated = self._greedy(decoder, head, tail, adapter, limit, embeddings)
            result.generated[name] = generated
            return generated

        answer = self.segment("answer", 0)
        generate("brief", prefix, answer, captioner, limits["caption"], images)
        lines: list[str] = []
        if router["kind"] == "generative":
            text = generate("router", prefix, self.segment("router", 0), router, limits["router"], images).text
            lines = [line.strip() for line in text.split("\n")]
        for number, expert in enumerate(facts["experts"]["list"]):
            prompt = lines[number] if number < len(lines) and lines[number] else expert["prompt"]
            result.prompts.append(prompt)
            tail = self.segment("expert", 0, prompt=prompt)
            generate(expert["name"], prefix, tail, expert, limits["expert"], images)
        asked = self.segment("prefix", len(images)) + self.segment("instruction", 0, instruction=question)
        generate("answer", asked, answer, captioner, limits["answer"], question_images)
        return result

    def _greedy(
        self,
        decoder: ReferenceDecoder,
        head: Sequence[int],
        tail: Sequence[int],
        adapter: int,
        limit: int,
        images: np.ndarray,
    ) -> Generated:
        """Bare base over `head`, then the adapter over `tail` and what is generated."""
        stops = {self.tokenizer.token_to_id(token) for token in self.facts["language"]["stop_tokens"]}
        cache: Cache = decoder.empty_cache(len(head) + len(tail) + limit)
        decoder.forward(decoder.embed(np.array(head), images), 0, cache)
        hidden = decoder.forward(decoder.embed(np.array(tail), images), len(head), cache, adapter)[-1]
        past, ids, logprobs, margin, finish = len(head) + len(tail), [], [], np.inf, "length"
        while len(ids) < limit:
            logits = decoder.logits(hidden[None])[0]
            order = np.argsort(-logits, kind="stable")
            margin = min(margin, logits[order[0]] - logits[order[1]])
            logprobs.append(float(-np.log(np.exp(logits - logits[order[0]]).sum())))
            token = decoder.token(int(order[0]))
            if token in stops:
                finish = "stop"
                break
            ids.append(token)
            if len(ids) < limit:
                hidden = decoder.forward(decoder.embed(np.array([token]), images), past, cache, adapter)[-1]
                past += 1
        return Generated(ids, logprobs, finish, self.tokenizer.decode(ids, skip_special_tokens=True), float(margin))
