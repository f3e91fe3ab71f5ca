"""Runs `rsmoe` and keeps what it printed, so that scoring again costs nothing.

Records lie in `WORK/raw/<key>/<name>.jsonl`, one object a line: `{"request": .., "record": ..}`, the record as the
runtime printed it. The key is the hash of the binary and the package's manifest (which holds the hashes of all its
files), and the variant: another build of either is asked anew. An interrupted run continues with what is missing.
"""

from __future__ import annotations

import functools
import hashlib
import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

PART = 128  # requests of one process; what an interruption loses at most
DONE, DONE_IN_PART = 0, 3  # exit codes


def read_jsonl(path: Path) -> list[dict]:
    """One object a line; empty lines are passed over."""
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines if line.strip()]


@dataclass(frozen=True)
class Runtime:
    """One binary with one package in one variant."""

    binary: Path
    package: Path
    work: Path
    variant: str = "w8a8"
    threads: int | None = None
    router: str | None = None  # of full captions: "generative" or "fixed"; None: the package's own

    @functools.cached_property
    def key(self) -> str:
        """12 hex digits and the variant, as they were at the first call."""
        return self._key()

    def _key(self) -> str:
        manifest = self.package / "manifest.yaml"
        for path in (self.binary, manifest):
            if not path.is_file():
                raise SystemExit(f"{path} does not exist: `make build` makes the binary, `make model` the package")
        digest = hashlib.sha256(self.binary.read_bytes() + manifest.read_bytes())
        return f"{digest.hexdigest()[:12]}-{self.variant}" + (f"-{self.router}" if self.router else "")

    def captions(self, paths: list[Path], style: str) -> list[dict]:
        """`rsmoe caption --jsonl` of each picture, in order. A picture that fails has `error` in its record."""
        arguments = ["caption", "--style", style, "--jsonl"]
        if self.router and style == "full":
            arguments += ["--router", self.router]
        return self._all(style, [str(path) for path in paths], lambda part: (arguments + part, None))

    def answers(self, requests: list[dict]) -> list[dict]:
        """`rsmoe ask --jsonl --questions` of each request (`input`, `question`, `choices`?), in order."""

        def command(part: list) -> tuple[list[str], str]:
            return ["ask", "--jsonl", "--questions", "-"], "".join(json.dumps(line) + "\n" for line in part)

        return self._all("ask", requests, command)

    def _all(self, name: str, requests: list, command) -> list[dict]:
        path = self.work / "raw" / self.key / f"{name}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        known = {_id(line["request"]): line["record"] for line in read_jsonl(path)} if path.exists() else {}
        missing = list({_id(request): request for request in requests if _id(request) not in known}.values())
        for start in range(0, len(missing), PART):
            part = missing[start : start + PART]
            records = self._run(*command(part))
            if self._key() != self.key:
                raise SystemExit(f"{self.binary} or {self.package} changed during the run: run again")
            if len(records) != len(part):
                raise SystemExit(f"rsmoe {name}: expected {len(part)} lines, found {len(records)}")
            with path.open("a", encoding="utf-8") as lines:
                for request, record in zip(part, records, strict=True):
                    lines.write(json.dumps({"request": request, "record": record}) + "\n")
                    known[_id(request)] = record
        return [known[_id(request)] for request in requests]

    def _run(self, arguments: list[str], stdin: str | None) -> list[dict]:
        # absolute: `./rsmoe` is a path, and the bare name that is left of it would be looked up
        command = [str(self.binary.resolve()), *arguments]
        command += ["--model", str(self.package), "--variant", self.variant, "--quiet"]
        command += ["--threads", str(self.threads)] if self.threads else []
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
        if done.returncode not in (DONE, DONE_IN_PART):
            raise SystemExit(f"rsmoe {arguments[0]} ended with {done.returncode}:\n{done.stderr[-2000:]}")
        return [json.loads(line) for line in done.stdout.splitlines() if line.strip()]


def _id(request: object) -> str:
    return json.dumps(request, sort_keys=True)


def expert(record: dict, name: str) -> str:
    """What an expert wrote; empty if there was none."""
    return next((one["text"] for one in record["experts"] if one["name"] == name), "")


def said(record: dict) -> str:
    """The answer that was given, or would have been given if the runtime had been sure enough."""
    return record.get("said") or record["answer"]


def require(records: list[dict], what: str) -> list[dict]:
    """The records, if none of them is an error."""
    failed = [record for record in records if "error" in record]
    if failed:
        raise SystemExit(f"{len(failed)} of {len(records)} {what} failed, such as {failed[0]}")
    return records
