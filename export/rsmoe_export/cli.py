"""Command line: `python -m rsmoe_export tiny|build|drafts|llama|random|compare`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except (OSError, ValueError, KeyError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="rsmoe_export", description="Writes rsmoe model packages.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    tiny = commands.add_parser("tiny", help="the tiny packages that the tests use")
    tiny.add_argument("out", type=Path, metavar="OUT_DIR")
    tiny.set_defaults(run=_tiny)
    build = commands.add_parser("build", help="a trained package from its recipe.yaml")
    build.add_argument("root", type=Path, metavar="DIR", help="directory with recipe.yaml and trained/")
    build.add_argument("--variants", type=_names, default=(), metavar="LIST", help="of w8a8, int4, fp32")
    build.add_argument("--out", type=Path, metavar="DIR", help="where the package goes; default: DIR itself")
    build.set_defaults(run=_build)
    drafts = commands.add_parser("drafts", help="draft texts from captions that the package's model wrote")
    drafts.add_argument(
        "captions", type=Path, nargs="+", metavar="JSONL", help="of `rsmoe caption --jsonl`, both styles"
    )
    drafts.add_argument("--out", type=Path, required=True, metavar="FILE", help="such as trained/drafts.json")
    drafts.set_defaults(run=_drafts)
    llama = commands.add_parser("llama", help="decoder graphs of a Llama or Qwen2 checkpoint")
    llama.add_argument("source", type=Path, metavar="SOURCE", help="Hugging Face directory, or a .gguf file")
    llama.add_argument("out", type=Path, metavar="OUT_DIR")
    llama.add_argument("--variants", type=_names, default=("w8a8",), metavar="LIST", help="of w8a8, int4, fp32")
    llama.add_argument("--max-context", type=int, default=2048, metavar="N", help="positions (default 2048)")
    llama.set_defaults(run=_llama)
    random = commands.add_parser("random", help="a whole package with random weights, for speed work")
    random.add_argument("out", type=Path, metavar="OUT_DIR")
    random.add_argument("--shape", default="tinyllama", help="tinyllama (1.1 B, default), smollm2 (135 M) or paper")
    random.add_argument("--layout", choices=("adapter", "graph"), default="adapter")
    random.add_argument("--variants", type=_names, default=("w8a8",), metavar="LIST", help="of w8a8, int4, fp32")
    random.add_argument("--seed", type=int, default=1)
    random.set_defaults(run=_random)
    compare = commands.add_parser("compare", help="a decoder's graphs against transformers")
    compare.add_argument(
        "source", type=Path, metavar="SOURCE", help="package directory with recipe.yaml, or a .gguf file"
    )
    compare.add_argument("--variants", type=_names, default=("fp32", "w8a8", "int4"), metavar="LIST")
    compare.set_defaults(run=_compare)
    return parser


def _drafts(options: argparse.Namespace) -> None:
    import json

    from rsmoe_export.drafts import gather

    text = json.dumps(gather(options.captions), indent=1, ensure_ascii=False)
    options.out.write_text(text + "\n", encoding="utf-8")
    print(f"{options.out}: {len(text)} bytes")


def _llama(options: argparse.Namespace) -> None:
    from rsmoe_export.llama import export

    export(options.source, options.out, options.variants, options.max_context)


def _random(options: argparse.Namespace) -> None:
    from rsmoe_export.random_package import build_random

    build_random(options.out, options.shape, options.layout, options.variants, options.seed)


def _compare(options: argparse.Namespace) -> None:
    from rsmoe_export.reference import compare

    run = compare.compare_gguf if options.source.suffix == ".gguf" else compare.compare_package
    figures = run(options.source, options.variants)
    print(compare.HEADER)
    for variant, found in figures.items():
        print(found.row(variant))
    if "fp32" in figures and figures["fp32"].worst > compare.FP32_TOLERANCE:
        raise ValueError(f"fp32 differs by more than {compare.FP32_TOLERANCE}")


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _build(options: argparse.Namespace) -> None:
    from rsmoe_export.build import build

    build(options.root, options.out, options.variants, say=lambda text: print(text, flush=True))


def _tiny(options: argparse.Namespace) -> None:
    from rsmoe_export.tiny.build import build_all

    for path in build_all(options.out):
        print(path)
