"""`python -m rsmoe_eval`: measures a package through the `rsmoe` binary. Never imports torch.

run        captions, objects, themes, questions, calibration, honesty: one table, JSON beside it
calibrate  fits the temperatures and thresholds of a package and writes calibration.json
foreign    writes the images that show no scene from above
score      scores any file of `rsmoe caption --jsonl` against any references
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from . import report

PARTS = ("captions", "questions", "honesty")


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="rsmoe_eval", description=__doc__, formatter_class=raw)
    commands = parser.add_subparsers(dest="command", required=True)
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--rsmoe", type=Path, required=True, help="the binary")
    shared.add_argument("--model", type=Path, required=True, help="directory of the package")
    shared.add_argument("--data", type=Path, required=True, help="holds rsicd/ and ucm/")
    shared.add_argument("--work", type=Path, required=True, help="keeps what the runtime said: scoring again is free")
    shared.add_argument("--variant", default="w8a8")
    shared.add_argument("--scored", default="theme,presence", help="kinds of questions asked with scored choices")
    shared.add_argument("--limit", type=int, help="validation images of each set, and foreign images of each kind")
    shared.add_argument("--threads", type=int)

    run = commands.add_parser("run", parents=[shared], help="measure a package")
    run.add_argument("--only", default=",".join(PARTS), help=f"some of {','.join(PARTS)} (default: all)")
    run.add_argument("--variants", default="", help="variants to compare beside --variant, such as fp32,int4")
    run.add_argument("--foreign", type=Path, help="directory of `rsmoe_eval foreign` (default: generated in --work)")
    run.add_argument(
        "--no-java", action="store_true", help="CIDEr only, with words of its own instead of the PTB tokenizer's"
    )
    run.add_argument("--router", choices=("generative", "fixed"), help="who prompts the experts (the package's own)")
    run.add_argument("--json", type=Path, help="write all figures")

    fit = commands.add_parser("calibrate", parents=[shared], help="fit temperatures and thresholds")
    fit.add_argument("--out", type=Path, required=True, help="calibration.json, for the package's trained/ directory")
    fit.add_argument("--json", type=Path, help="write the figures of both halves")

    images = commands.add_parser("foreign", help="write the honesty set")
    images.add_argument("--out", type=Path, required=True)
    images.add_argument("--photos", type=Path, nargs="*", default=[], help="directories of photographs to copy")
    images.add_argument("--each", type=int, default=14, help="generated images of each kind")
    images.add_argument("--seed", type=int, default=3)

    score = commands.add_parser("score", help="score a file of captions")
    score.add_argument("captions", type=Path, help="what `rsmoe caption --jsonl` printed")
    score.add_argument("--references", type=Path, required=True, help='lines of {"image", "captions", "class"?}')
    score.add_argument("--no-java", action="store_true")
    return parser


def _write(path: Path | None, value: dict) -> None:
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def _run(args: argparse.Namespace) -> None:
    from . import measure_captions, measure_honesty, measure_questions
    from .runtime import Runtime
    from .splits import load

    parts = args.only.split(",")
    if unknown := set(parts) - set(PARTS):
        raise SystemExit(f"--only {','.join(sorted(unknown))}: expected some of {', '.join(PARTS)}")
    data = load(args.data, args.limit)
    runtime = Runtime(args.rsmoe, args.model, args.work, args.variant, args.threads, args.router)
    first = runtime.captions([next(iter(data.chosen.values()))[0].path], "brief")[0]
    results: dict = {"model": first.get("model"), "variant": args.variant, "key": runtime.key, "limit": args.limit}
    if "captions" in parts:
        results["captions"] = measure_captions.measure(data, runtime, not args.no_java)
    if "questions" in parts:
        results["questions"] = measure_questions.measure(data, runtime, frozenset(args.scored.split(",")))
    if "honesty" in parts:
        root = args.foreign or args.work / "foreign"
        results["honesty"] = measure_honesty.measure(data, runtime, root, args.limit)
    if args.variants:
        names = dict.fromkeys([args.variant, *args.variants.split(",")])
        runtimes = [Runtime(args.rsmoe, args.model, args.work, name, args.threads) for name in names]
        results["variants"] = measure_captions.compare(data, runtimes, not args.no_java)
    _write(args.json, results)
    print(report.text(results))


def _calibrate(args: argparse.Namespace) -> None:
    from . import measure_questions, measure_silence
    from .runtime import Runtime
    from .splits import load

    runtime = Runtime(args.rsmoe, args.model, args.work, args.variant, args.threads)
    data = load(args.data, args.limit)
    found, figures = measure_questions.calibrate(data, runtime, frozenset(args.scored.split(",")))
    threshold, objects = measure_silence.fit(data, runtime, found["text_temperature"])
    found |= {"silent_below": threshold}
    _write(args.out, found)
    _write(args.json, found | {"figures": figures, "full captions": objects})
    for name in ("at temperature 1", "calibrated"):
        rows = {f"{what}, {part}": row for part, some in figures[name].items() for what, row in some.items()}
        print("\n".join(report.table(name, ["answers", "right", "ECE", "ECE equal mass"], rows)))
    columns = ["object precision", "object recall", "object F1", "hallucination rate"]
    print("\n".join(report.table("full captions", columns, objects)))
    print(json.dumps(found))


def _score(args: argparse.Namespace) -> None:
    from .score import score

    json.dump(score(args.captions, args.references, not args.no_java), sys.stdout, indent=2)
    print()


def _foreign(args: argparse.Namespace) -> None:
    from . import foreign

    made = foreign.generate(args.out, args.seed, args.each)
    print(f"{made} generated images, {foreign.gather(args.out, args.photos)} photographs in {args.out}")


def main() -> None:
    """The command line."""
    args = _parser().parse_args()
    {"run": _run, "calibrate": _calibrate, "foreign": _foreign, "score": _score}[args.command](args)


if __name__ == "__main__":
    main()
