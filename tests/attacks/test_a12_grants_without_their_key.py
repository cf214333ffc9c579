"""Group 12: a true grant beside another key's signature, an old nonce, one nonce twice, the transcript of
another box or transport; a signature in its other valid form (r, n−s): the same outcome, no second effect."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from common import wire
from common.appsession import Authenticated, Closed, CommandAsked, ServerSession, Serving
from common.domain import Path
from common.errors import Code
from common.trust import IdentityKey, Purpose, Transcript, b64, seal, unb64
from tests.trust.cast import (
    BOX,
    NOW_MS,
    PHONE,
    SITE,
    STRANGER,
    command,
    flipped,
    grant,
    halves_swapped_sign,
    payload,
    verifier,
)

CERTIFICATE, OTHER_CERTIFICATE = "ab" * 32, "cd" * 32


class Link:
    """One link to a box, whose client signs whatever the attacker wants."""

    def __init__(
        self, box: IdentityKey = BOX, path: Path = Path.LAN, binding: str = CERTIFICATE, nonce: int = 1
    ) -> None:
        serving = Serving(identity=box, verifier=verifier(), path=path, site=SITE)
        self.session = ServerSession(
            serving, nonce=b64(bytes([nonce]) * 32), certificates=(CERTIFICATE,), binding=binding
        )
        self.client_nonce = b64(b"c" * 32)
        self.session.receive(wire.encode(wire.Hello(nonce=self.client_nonce)), NOW_MS)
        (frame,) = self.session.data_to_send()
        proof = wire.server_decoder.decode(frame)
        assert isinstance(proof, wire.Proof)
        self.transcript = Transcript(
            offered=wire.VERSIONS,
            version=proof.version,
            client_nonce=self.client_nonce,
            server_nonce=proof.nonce,
            server=proof.server,
            path=path,
            certificates=proof.certificates,
            binding=binding,
        )

    def auth(self, key: IdentityKey = PHONE, over: Transcript | None = None, **changes: Any) -> wire.Auth:
        """The client's answer, perhaps signed over another link's transcript."""
        message = (over or self.transcript).auth(PHONE.thumbprint, (grant(),))
        signature = key.sign(Purpose.CLIENT_AUTH, message)
        auth = wire.Auth(grants=(grant(),), key=PHONE.public, signature=signature)
        return msgspec.structs.replace(auth, **changes)

    def tries(self, auth: wire.Auth) -> Code | None:
        """None = it is in; else why not."""
        events = self.session.receive(wire.encode(auth), NOW_MS)
        if any(isinstance(event, Authenticated) for event in events):
            return None
        for event in events:
            if isinstance(event, Closed):
                return event.code
        refusal = wire.server_decoder.decode(self.session.data_to_send()[-1])
        assert isinstance(refusal, wire.Refusal)
        return Code(refusal.code)


def attempts() -> dict[str, tuple[Link, wire.Auth]]:
    other_box = Link(box=STRANGER)
    other_transport = Link(path=Path.CLOUD)
    twin = Link(binding=OTHER_CERTIFICATE)
    before = Link(nonce=2)
    here = Link()
    stolen = here.auth(key=STRANGER)
    redeem = PHONE.sign(Purpose.CLIENT_REDEEM, here.transcript.auth(PHONE.thumbprint, (grant(),)))
    return {
        "another key's signature": (Link(), stolen),
        "another key beside the grant": (Link(), msgspec.structs.replace(stolen, key=STRANGER.public)),
        "no signature": (Link(), here.auth(signature="")),
        "a flipped bit": (Link(), here.auth(signature=flipped(here.auth().signature, 40))),
        "an old nonce": (Link(), before.auth()),
        "another box's transcript": (Link(), other_box.auth()),
        "another transport's": (Link(), other_transport.auth()),
        "a twin's certificate": (Link(), twin.auth()),
        "made for an invite": (Link(), here.auth(signature=redeem)),
        "zeros": (Link(), here.auth(signature=b64(bytes(64)))),
        "as DER": (Link(), here.auth(signature=b64(b"\x30\x44\x02\x20" + unb64(here.auth().signature)))),
    }


@pytest.mark.parametrize("name", list(attempts()))
def test_a12_a_grant_without_its_key_opens_nothing(name: str) -> None:
    link, auth = attempts()[name]
    assert link.tries(auth) in (Code.BAD_SIGNATURE, Code.BAD_GRANT)
    assert Link().tries(Link().auth()) is None


def test_a12_a_nonce_is_of_one_link_and_a_hello_comes_once() -> None:
    first, second = Link(nonce=1), Link(nonce=3)
    recorded = first.auth()
    assert first.tries(recorded) is None
    assert second.tries(recorded) is Code.BAD_SIGNATURE, "recorded on one link, played on the next"
    events = Link().session.receive(wire.encode(wire.Hello(nonce=first.client_nonce)), NOW_MS)
    assert [event.code for event in events if isinstance(event, Closed)] == [Code.PROTOCOL]
    for nonce in ("", b64(b"c" * 31), b64(b"c" * 33), "not base64url!"):
        session = ServerSession(
            Serving(identity=BOX, verifier=verifier(), path=Path.LAN, site=SITE), nonce=b64(bytes(32))
        )
        events = session.receive(wire.encode(wire.Hello(nonce=nonce)), NOW_MS)
        assert [event.code for event in events if isinstance(event, Closed)] == [Code.PROTOCOL], nonce


def test_a12_the_other_form_of_a_signature_is_the_same_command_and_the_same_link() -> None:
    link = Link()
    auth = link.auth()
    assert link.tries(auth) is None
    other = Link()
    assert (
        other.tries(msgspec.structs.replace(auth, signature=halves_swapped_sign(PHONE, auth.signature)))
        is None
    )
    envelope = seal(payload(), PHONE)
    asked = []
    for text in (envelope, swapped(envelope)):
        events = link.session.receive(
            wire.encode(wire.SendCommand(id=command().id, site=SITE, envelope=text)), NOW_MS
        )
        (event,) = events
        assert isinstance(event, CommandAsked)
        asked.append((event.command.id, event.payload))
    # The id and the content alone say which command it is: the box tells the second its stored outcome.
    assert asked[0] == asked[1]


def swapped(envelope: str) -> str:
    """The envelope with its signature in the other valid form."""
    parts = envelope.split(".")
    for at, part in enumerate(parts):
        try:
            if len(unb64(part)) == 64:
                return ".".join([*parts[:at], halves_swapped_sign(PHONE, part), *parts[at + 1 :]])
        except ValueError:
            continue
    raise AssertionError("an envelope holds a signature")
