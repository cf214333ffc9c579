"""A StopTransaction beyond 1 MiB is taken; beyond 8 MiB it is refused once, with words on how to shorten it.

source: https://github.com/steve-community/steve/tree/38b299a149c6e3ff45ebb37dd7897c7d81a5d320/src/main/java/de/rwth/idsg/steve
trace: built from the report
"""

from __future__ import annotations

import json

from tests.dialects.quirks.play import play
from tests.dialects.quirks.trace import HERE, Step, Trace


def show() -> None:
    play(Trace(HERE / "q018_long_stop.py", 18, "", "", "built from the report", steps=tuple(_steps())))


def _steps() -> list[Step]:
    start = {"connectorId": 1, "idTag": "CARD1", "meterStart": 0, "timestamp": "2025-06-15T12:00:00Z"}
    stop = {"transactionId": "$tx", "meterStop": 9000, "timestamp": "2025-06-15T14:00:00Z"}
    long = json.dumps(stop | {"transactionData": _samples(8_200)})
    assert 1024 * 1024 < len(long) < 8 * 1024 * 1024
    too_long = "DataTransfer " + json.dumps({"vendorId": "x", "data": "y" * (8 * 1024 * 1024)})
    steps = [
        ("dial", "/CP1"),
        (">", "StartTransaction " + json.dumps(start)),
        ("<", '{"transactionId": "$tx"}'),
        (">", "StopTransaction " + long),
        ("<", "{}"),
        ("session", '{"energy_wh": 9000, "method": "register"}'),
        (">", too_long),
        ("<", "closed 1009"),
        ("listener", '{"too_large": 1}'),
        ("log", "StopTxnSampledData"),
    ]
    return [Step(line, verb, rest) for line, (verb, rest) in enumerate(steps, 1)]


def _samples(count: int) -> list[object]:
    return [
        {
            "timestamp": f"2025-06-15T{12 + n // 7200:02d}:{n // 120 % 60:02d}:{n % 60:02d}Z",
            "sampledValue": [{"value": str(n), "measurand": "Energy.Active.Import.Register", "unit": "Wh"}],
        }
        for n in range(count)
    ]
