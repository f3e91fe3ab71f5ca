"""Makes the models that the peers run: one shape, random weights, each in the peer's own format.

Each step stands alone. What a step says when it fails is kept in `problems.json`, from where `run.py` takes the reason.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import gguf_files
from gguf_files import SHAPES, Shape


def gguf_file(out: Path, shape: Shape, kind: str) -> None:
    """`q4_0.gguf` or `q8_0.gguf`, unless it is there."""
    path = out / f"{kind}.gguf"
    if not path.is_file():
        gguf_files.write(path, shape, kind)


def hugging_face(out: Path, shape: Shape) -> None:
    """`hf/`: configuration, random weights, and a tokenizer, which onnxruntime-genai's builder wants."""
    import torch
    from tokenizers import Tokenizer, models
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.hidden,
        intermediate_size=shape.intermediate,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.key_value_heads,
        head_dim=shape.head_dim,
        max_position_embeddings=gguf_files.CONTEXT,
        rms_norm_eps=gguf_files.EPSILON,
        tie_word_embeddings=shape.is_tied,
    )
    LlamaForCausalLM(config).save_pretrained(out / "hf")
    words = {f"w{index}": index for index in range(shape.vocabulary)}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="w0"))
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="w0", eos_token="w2").save_pretrained(out / "hf")


def genai(out: Path) -> None:
    """`genai-int4/`, by onnxruntime-genai's model builder from `hf/`."""
    builder = [sys.executable, "-m", "onnxruntime_genai.models.builder"]
    arguments = ["-i", out / "hf", "-o", out / "genai-int4", "-p", "int4", "-e", "cpu", "-c", out / "cache"]
    subprocess.run([*builder, *map(str, arguments)], check=True, capture_output=True, text=True)
    shutil.rmtree(out / "cache", ignore_errors=True)


def openvino(out: Path, kind: str, bits: int) -> None:
    """`openvino-int4/` or `-int8/`: OpenVINO's own reading of the GGUF file."""
    import openvino_genai

    openvino_genai.LLMPipeline(str(out / f"{kind}.gguf"), "CPU", enable_save_ov_model=True)
    directory = out / f"openvino-int{bits}"
    directory.mkdir(exist_ok=True)
    for path in out.glob("openvino_model.*"):
        path.replace(directory / path.name)
    if not (directory / "openvino_model.xml").is_file():
        raise RuntimeError("openvino-genai wrote no openvino_model.xml")


def attempt(step: Callable[[], None], files: str, problems: dict[str, str]) -> None:
    """Runs a step; its error is kept, and the others go on."""
    print(f"{files} ...", flush=True)
    try:
        step()
    except subprocess.CalledProcessError as error:
        problems[files] = last_line(error.stderr or str(error))
    except Exception as error:
        problems[files] = last_line(f"{type(error).__name__}: {error}")
    if files in problems:
        print(f"  not made: {problems[files]}", flush=True)


def last_line(text: str) -> str:
    """What an error's text ends with."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "no reason given"


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="directory of the models")
    parser.add_argument("--shape", choices=SHAPES, default="smollm2")
    parser.add_argument("--q4-0", type=Path, metavar="GGUF", help="take this file instead of random weights")
    parser.add_argument("--q8-0", type=Path, metavar="GGUF", help="take this file instead of random weights")
    options = parser.parse_args()
    out, shape = options.out, SHAPES[options.shape]
    out.mkdir(parents=True, exist_ok=True)
    problems: dict[str, str] = {}
    for kind, given in (("q4_0", options.q4_0), ("q8_0", options.q8_0)):
        if given:
            shutil.copyfile(given, out / f"{kind}.gguf")
        attempt(lambda kind=kind: gguf_file(out, shape, kind), f"{kind}.gguf", problems)
    attempt(lambda: hugging_face(out, shape), "hf", problems)
    attempt(lambda: genai(out), "genai-int4", problems)
    attempt(lambda: openvino(out, "q4_0", 4), "openvino-int4", problems)
    attempt(lambda: openvino(out, "q8_0", 8), "openvino-int8", problems)
    report = {"shape": options.shape, "problems": problems}
    (out / "problems.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
