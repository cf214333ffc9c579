"""The published proofs, sound and wrong: what this client makes of each. The file is what is made."""

import json
from typing import Any

import pytest

from common.appsession import ClientSession, Closed
from common.domain import Path
from common.keystore import generate_identity
from tests.vectors.make_proofs import FILE, vectors

CASES: list[dict[str, Any]] = json.loads(FILE.read_text())["cases"]


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_a_proof_is_judged_as_published(case: dict[str, Any]) -> None:
    session = ClientSession(
        nonce=case["client_nonce"],
        path=Path(case["path"]),
        server=case["pinned"],
        key=generate_identity(),
        grants=("a-grant",),
        binding=case["binding"],
    )
    session.hello()
    session.data_to_send()
    heard = session.receive(json.dumps(case["proof"]).encode())
    sent = session.data_to_send()
    if case["result"] == "ok":
        assert len(sent) == 1
        assert json.loads(sent[0])["grants"] == ["a-grant"]
    else:
        (closed,) = heard
        assert isinstance(closed, Closed)
        assert closed.code == case["result"]
        assert sent == [], "nothing leaves towards who has not proved themselves"


def test_the_file_is_what_is_made() -> None:
    assert vectors() == CASES
