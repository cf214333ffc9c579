"""Hostile bytes in `make test`: the whole corpus, and what hypothesis makes of it, short and deterministic.

`make fuzz` looks for new inputs, guided by coverage.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.chargers.firstbytes import FIRST_BYTES_MAX, mended, readable, unparsed
from tests.fuzz import seeds
from tests.fuzz.rig import NEVER_REFUSED, Rig, decodes

DIALS = seeds.dials()
FRAMES = {protocol: seeds.frames(protocol) for protocol in NEVER_REFUSED}
#: Cuts of one frame: enough to meet every token's middle.
_CUTS = 150
#: One rig serves all examples; and how long it takes to make them says nothing (`tests/conftest.py`).
CHECKED_NOT = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


@pytest.fixture(scope="module", params=NEVER_REFUSED)
def rig(request: pytest.FixtureRequest) -> Iterator[Rig]:
    with Rig(request.param) as one:
        yield one


def test_the_corpus_of_frames_breaks_no_law(rig: Rig) -> None:
    for frame in FRAMES[rig.protocol]:
        decodes(frame)
        rig.frame(frame)


def test_the_corpus_of_dials_breaks_no_law() -> None:
    with Rig() as rig:
        for dial in DIALS:
            rig.dial(dial)


def test_a_frame_cut_anywhere_breaks_no_law(rig: Rig) -> None:
    for frame in FRAMES[rig.protocol]:
        if b'"MeterValues"' in frame or b'"TransactionEvent"' in frame:
            for end in range(0, len(frame), 1 + len(frame) // _CUTS):
                rig.frame(frame[:end])
            break


mutated = st.builds(
    lambda seed, at, cut, put: seed[: at % (len(seed) + 1)] + put + seed[at % (len(seed) + 1) + cut :],
    st.sampled_from(sorted({frame for frames in FRAMES.values() for frame in frames})),
    st.integers(0, 400),
    st.integers(0, 12),
    st.one_of(
        st.binary(max_size=6), st.sampled_from([b"null", b"{", b"]", b",", b'"', b"1e400", b"\\ud800"])
    ),
)


@settings(max_examples=200, derandomize=True, suppress_health_check=CHECKED_NOT)
@given(mutated)
def test_a_mutated_frame_breaks_no_law(rig: Rig, frame: bytes) -> None:
    decodes(frame)
    rig.frame(frame)


_NAMES = st.from_regex(
    "connectorId|idTag|meterSt(art|op)|timestamp|transaction(Id|Data)|meterValue|status|sampledValue|value"
    "|errorCode|reason|unit|measurand|x",
    fullmatch=True,
)
jsons = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=150, derandomize=True, suppress_health_check=CHECKED_NOT)
@given(st.integers(0, 9), jsons)
def test_a_transaction_message_is_never_refused(rig: Rig, number: int, payload: object) -> None:
    actions = NEVER_REFUSED[rig.protocol]
    rig.frame(json.dumps([2, f"h{number}", actions[number % len(actions)], payload]).encode())


@settings(max_examples=150, derandomize=True, suppress_health_check=CHECKED_NOT)
@given(
    st.one_of(
        st.binary(max_size=700), st.builds(lambda d, at: d[:at], st.sampled_from(DIALS), st.integers(0, 300))
    )
)
def test_a_hostile_dial_troubles_nobody(rig: Rig, data: bytes) -> None:
    rig.dial(data)


SECRET = base64.b64encode(b"CP1:correct-horse-battery").decode()


@settings(derandomize=True)
@given(
    st.sampled_from(["Authorization", "authorization ", "AUTHORIZATION", " Proxy-Authorization", "Cookie"]),
    st.sampled_from([": Basic ", ":", " :Basic\t", " Basic ", ":\r\n ", ": Basic\r\n\t"]),
    st.text(max_size=20),
    st.sampled_from(["\r\n", "\n"]),
    st.integers(0, FIRST_BYTES_MAX),
)
def test_no_password_is_kept(name: str, colon: str, path: str, end: str, cut: int) -> None:
    first = f"GET /{path}?{SECRET} HTTP/1.1{end}Host: box{end}"
    head = f"{first}{name}{colon}{SECRET}{end}Upgrade: x{end}{end}{SECRET}"
    kept = readable(head.encode("utf-8", "replace")[:cut])
    assert SECRET[:12] not in kept
    assert kept.replace("\n", "").isprintable()


@given(st.binary(max_size=300))
def test_a_request_line_is_mended_once_and_for_all(line: bytes) -> None:
    once = mended(line)
    assert mended(once) == once
    assert unparsed(line)
