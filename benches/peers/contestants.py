"""Who is compared, and with which files."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Contestant:
    """One runtime with one kind of weights."""

    #: In the table, and for `--only`.
    name: str
    #: Module with `load`; none: rsmoe itself.
    module: str | None
    #: Below the directory that `prepare.py` writes; of rsmoe: the variant.
    files: str
    #: What is passed on to `load`.
    arguments: tuple[tuple[str, str], ...] = ()


CONTESTANTS = (
    Contestant("rsmoe w8a8", None, "w8a8"),
    Contestant("rsmoe int4", None, "int4"),
    Contestant("llama.cpp Q4_0", "llamacpp_peer", "q4_0.gguf"),
    Contestant("llama.cpp Q8_0", "llamacpp_peer", "q8_0.gguf"),
    Contestant("onnxruntime-genai int4", "genai_peer", "genai-int4"),
    Contestant("OpenVINO int4", "openvino_peer", "openvino-int4"),
    Contestant("OpenVINO int8", "openvino_peer", "openvino-int8"),
    Contestant("transformers fp32", "transformers_peer", "hf", (("dtype", "float32"),)),
    Contestant("transformers bf16", "transformers_peer", "hf", (("dtype", "bfloat16"),)),
)


def by_name(name: str) -> Contestant:
    """The contestant of that name."""
    return next(contestant for contestant in CONTESTANTS if contestant.name == name)
