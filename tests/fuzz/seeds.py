"""The corpus: every frame and dial of the catalogue's traces, and what fuzzing has found (`found.txt`).

`found.txt` has an input a line, as Python writes bytes, with the target before it: `frame b'[2,...'`.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

from tests.dialects.quirks import trace as traces
from tests.dialects.quirks.play import unescaped

FOUND = Path(__file__).with_name("found.txt")
_CALL = re.compile(r"([A-Za-z]+)(?:#(\S+))?\s*(.*)", re.DOTALL)


def frames(protocol: str = "") -> list[bytes]:
    """What chargers say in the traces (of `ocpp1.6` or `ocpp2.0.1`), and what was found for frames."""
    said = [
        frame
        for path in traces.files()
        if path.suffix == ".trace"
        if (trace := traces.read(path)) and protocol in ("", f"ocpp{trace.protocol}")
        for step in trace.steps
        if step.verb == ">" and (frame := _frame(step.rest))
    ]
    return sorted({*said, *_found("frame")})


def dials() -> list[bytes]:
    """Raw dials of the traces, and what was found for dials."""
    raw = [
        unescaped(step.rest.partition("\n")[2])
        for path in traces.files()
        if path.suffix == ".trace"
        for step in traces.read(path).steps
        if step.verb == "dial" and step.rest.startswith("raw")
    ]
    return sorted({*raw, *_found("dial")})


def _frame(text: str) -> bytes:
    text = re.sub(r'"?\$[a-z][a-z0-9_]*"?', "12", text)
    if text.startswith("raw"):
        return unescaped(text[4:])
    if text.startswith("{"):
        return b'[3,"0",' + text.encode() + b"]"
    called = _CALL.fullmatch(text)
    if called is None or text.startswith("error "):
        return text.encode()
    return f'[2,"{called[2] or 1}","{called[1]}",{called[3] or "{}"}]'.encode()


def _found(target: str) -> list[bytes]:
    lines = FOUND.read_text(encoding="utf-8").splitlines()
    return [ast.literal_eval(line.partition(" ")[2]) for line in lines if line.startswith(target + " ")]
