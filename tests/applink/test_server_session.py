"""The server's session: what may come when, and that nothing that comes can break it."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common import wire
from common.appsession import (
    Authenticated,
    Closed,
    CommandAsked,
    Event,
    Followed,
    ManageAsked,
    QueryAsked,
    RedeemAsked,
    RenewAsked,
    ServerSession,
)
from common.appsession.server import ALLOWED, PRE_AUTH_MESSAGES_MAX, State
from common.domain import Path, Role
from common.errors import Code
from common.policy import local_presence
from common.trust import b64, revoked_key, seal
from tests.applink.talk import BINDING, Talk, client, codes, server, serving
from tests.trust.cast import (
    DAY_MS,
    NOW_MS,
    PHONE,
    SITE,
    STRANGER,
    command,
    flipped,
    grant,
    payload,
    verifier,
)

SAMPLES: dict[type, wire.Message] = {
    wire.Hello: wire.Hello(nonce=b64(b"n" * 32)),
    wire.Auth: wire.Auth(grants=("x",), key="k", signature="s"),
    wire.Redeem: wire.Redeem(secret="s", key="k", signature="s"),
    wire.Renew: wire.Renew(grant="g"),
    wire.Follow: wire.Follow(sites=(SITE,)),
    wire.SendCommand: wire.SendCommand(id="1", site=SITE, envelope="e"),
    wire.Query: wire.Query(id="1", site=SITE, what="sessions"),
    wire.Manage: wire.Manage(id="1", site=SITE, name="invite"),
    wire.Ping: wire.Ping(at=7),
}


def hello(session: ServerSession, **changes: Any) -> list[Event]:
    message = wire.Hello(**({"nonce": b64(b"c" * 32)} | changes))
    return say(session, message)


def say(session: ServerSession, message: wire.Message, now_ms: int = NOW_MS) -> list[Event]:
    return session.receive(wire.encode(message), now_ms)


def answers(session: ServerSession) -> list[wire.ServerMessage]:
    return [wire.server_decoder.decode(frame) for frame in session.data_to_send()]


def only_end(events: list[Event]) -> Closed:
    (end,) = events
    assert isinstance(end, Closed)
    return end


def refused(session: ServerSession) -> tuple[str, str]:
    (answer,) = answers(session)
    assert isinstance(answer, wire.Refusal)
    return answer.code, answer.id


def in_state(state: State) -> ServerSession:
    session = server()
    if state is State.HELLO:
        return session
    if state is State.OPEN:
        talk = Talk(client(), session).open()
    elif state is State.KEYED:
        talk = Talk(client(), session, NOW_MS + 8 * DAY_MS)
        talk.client.hello()
        talk.exchange()
    else:
        hello(session)
    if state is State.CLOSED:
        session.close(Code.SHUTTING_DOWN)
    session.data_to_send()
    assert session.state is state
    return session


# --- the handshake -----------------------------------------------------------------------------------------


def test_it_proves_itself_at_once_and_asks_nothing_before() -> None:
    session = server()
    assert hello(session, client="app 1.0\x1b[31m") == []
    (proof,) = answers(session)
    assert isinstance(proof, wire.Proof)
    assert proof.certificates[0] == BINDING
    assert (proof.path, proof.version) == ("lan", 1)
    assert session.client == "app 1.0[31m"
    assert session.data_to_send() == []


@pytest.mark.parametrize("state", list(State))
@pytest.mark.parametrize("kind", list(SAMPLES))
def test_each_message_has_its_time(state: State, kind: type) -> None:
    session = in_state(state)
    events = say(session, SAMPLES[kind])
    if state is State.CLOSED:
        assert (events, session.data_to_send()) == ([], [])
    elif kind in ALLOWED[state]:
        assert "out of turn" not in "".join(getattr(event, "detail", "") for event in events)
    else:
        assert events == [Closed(Code.PROTOCOL, "a message came out of turn")]
        (bye,) = answers(session)
        assert isinstance(bye, wire.Bye)
        assert bye.code == Code.PROTOCOL
        assert session.state is State.CLOSED


def test_rights_are_told_once_they_are_proved() -> None:
    talk = Talk(client(), server()).open()
    (event,) = talk.events
    assert isinstance(event, Authenticated)
    assert event.claims[0].principal == "driver-1"
    assert talk.server.claims[SITE] == event.claims[0]
    assert talk.server.state is State.OPEN


@pytest.mark.parametrize("versions", [(), (2,), (0, 99)])
def test_no_version_in_common(versions: tuple[int, ...]) -> None:
    end = only_end(hello(server(), versions=versions))
    assert end.code is Code.UNSUPPORTED_VERSION


@pytest.mark.parametrize(
    "changes", [{"nonce": ""}, {"nonce": b64(bytes(31))}, {"versions": tuple(range(99))}]
)
def test_a_hello_is_sound(changes: dict[str, Any]) -> None:
    end = only_end(hello(server(), **changes))
    assert end.code is Code.PROTOCOL


@given(st.integers(min_value=0))
def test_any_flipped_character_of_an_auths_signature_ends_the_link(position: int) -> None:
    talk = Talk(client(), server())
    talk.client.hello()
    talk.server.receive(talk.client.data_to_send()[0], NOW_MS)
    talk.answer()
    auth = wire.client_decoder.decode(talk.client.data_to_send()[0])
    assert isinstance(auth, wire.Auth)
    forged = msgspec.structs.replace(auth, signature=flipped(auth.signature, position))
    end = only_end(say(talk.server, forged))
    assert end.code is Code.BAD_SIGNATURE
    assert talk.server.claims == {}


def test_an_auth_of_another_link_is_worthless() -> None:
    first = Talk(client(), server()).open()
    other = server(nonce=b64(b"t" * 32))
    hello(other)
    other.data_to_send()
    end = only_end(other.receive(first.sent[1], NOW_MS))
    assert end.code is Code.BAD_SIGNATURE


def test_an_auth_for_one_transport_is_worthless_on_another() -> None:
    first = Talk(client(), server()).open()
    for other in (server(binding="33" * 32), server(serving=serving(Path.CLOUD)), server(certificates=())):
        hello(other)
        other.data_to_send()
        end = only_end(other.receive(first.sent[1], NOW_MS))
        assert end.code is Code.BAD_SIGNATURE


def test_a_grant_is_shown_by_its_own_key() -> None:
    talk = Talk(client(key=STRANGER), server())
    talk.client.hello()
    talk.exchange()
    assert talk.events == []
    assert codes(talk.heard) == [Code.BAD_SIGNATURE]
    assert talk.server.state is State.PROVED


def test_one_bad_grant_does_not_spoil_the_others() -> None:
    cloud = serving(Path.CLOUD, site=None)
    grants = (grant(site="a"), flipped(grant(site="b"), 99), grant(site="c", now_ms=NOW_MS - 9 * DAY_MS))
    talk = Talk(client(path=Path.CLOUD, grants=grants), server(serving=cloud)).open()
    assert set(talk.server.claims) == {"a"}


def test_more_sites_are_shown_on_the_open_link_by_the_same_key_only() -> None:
    cloud = serving(Path.CLOUD, site=None)
    talk = Talk(client(path=Path.CLOUD, grants=(grant(site="a"),)), server(serving=cloud)).open()
    talk.client.show(grant(site="b", role=Role.OPERATOR))
    talk.exchange()
    assert {site: rights.role for site, rights in talk.server.claims.items()} == {
        "a": Role.DRIVER,
        "b": Role.OPERATOR,
    }
    assert isinstance(talk.events[-1], Authenticated)
    assert len(talk.events[-1].claims) == 2
    talk.client._key = STRANGER
    talk.client.show(grant(site="c", key=STRANGER.thumbprint))
    talk.exchange()
    assert codes(talk.heard)[-1] == Code.PROTOCOL
    assert "c" not in talk.server.claims


def test_a_box_serves_its_own_site_only() -> None:
    talk = Talk(client(grants=(grant(site="elsewhere"),)), server())
    talk.client.hello()
    talk.exchange()
    assert codes(talk.heard) == [Code.WRONG_SITE]


def test_run_out_rights_may_be_renewed_on_the_link_and_nothing_else() -> None:
    talk = Talk(client(), server(), NOW_MS + 8 * DAY_MS)
    talk.client.hello()
    talk.exchange()
    assert codes(talk.heard) == [Code.GRANT_EXPIRED]
    talk.client.renew(grant())
    talk.exchange()
    (asked,) = talk.events
    assert isinstance(asked, RenewAsked)
    assert asked.claims.key == PHONE.thumbprint
    fresh = grant(now_ms=NOW_MS + 8 * DAY_MS, grant_id="grant-2")
    talk.tell(wire.Granted(grant=fresh, site=wire.SiteAccess(site=SITE, role="driver", principal="driver-1")))
    assert isinstance(talk.events[-1], Authenticated)
    assert talk.server.claims[SITE].grant == "grant-2"


def test_somebody_elses_grant_is_not_renewed() -> None:
    talk = Talk(client(), server()).open()
    talk.client.renew(grant(key=STRANGER.thumbprint))
    talk.exchange()
    assert codes(talk.heard) == [Code.BAD_GRANT]


def test_an_invite_comes_with_proof_of_its_key() -> None:
    talk = Talk(client(grants=(), invite="secret", device="phone"), server())
    talk.client.hello()
    talk.exchange()
    (asked,) = talk.events
    assert isinstance(asked, RedeemAsked)
    assert (asked.message.secret, asked.message.device, asked.key) == ("secret", "phone", PHONE.thumbprint)
    talk.tell(
        wire.Granted(grant=grant(), site=wire.SiteAccess(site=SITE, role="driver", principal="driver-1"))
    )
    assert isinstance(talk.events[-1], Authenticated)


def test_a_redeem_signed_for_another_secret_ends_the_link() -> None:
    session = server()
    talk = Talk(client(grants=(), invite="secret"), session)
    talk.client.hello()
    session.receive(talk.client.data_to_send()[0], NOW_MS)
    talk.answer()
    redeem = wire.client_decoder.decode(talk.client.data_to_send()[0])
    assert isinstance(redeem, wire.Redeem)
    end = only_end(say(session, msgspec.structs.replace(redeem, secret="other")))
    assert end.code is Code.BAD_SIGNATURE


def test_local_presence_needs_no_grant() -> None:
    session = server(serving=serving(Path.LOCAL), local=local_presence(SITE), binding="", certificates=())
    talk = Talk(client(path=Path.LOCAL, server=None, key=None, grants=(), binding=""), session).open()
    (event,) = talk.events
    assert isinstance(event, Authenticated)
    assert event.claims[0].role is Role.LOCAL
    asked = wire.SendCommand(id=command().id, site=SITE, envelope=payload().decode())
    (event,) = say(session, asked)
    assert isinstance(event, CommandAsked)
    assert session.tick(NOW_MS + 10**12) == []


# --- limits ------------------------------------------------------------------------------------------------


def test_little_is_read_before_authentication() -> None:
    for session in (server(), in_state(State.PROVED)):
        end = only_end(session.receive(b" " * (wire.PRE_AUTH_BYTES_MAX + 1), NOW_MS))
        assert end.code is Code.TOO_LARGE
    end = only_end(in_state(State.OPEN).receive(b" " * (wire.CLIENT_BYTES_MAX + 1), NOW_MS))
    assert end.code is Code.TOO_LARGE


def test_few_messages_are_answered_before_authentication() -> None:
    session = in_state(State.PROVED)
    for _ in range(PRE_AUTH_MESSAGES_MAX - 1):
        assert say(session, SAMPLES[wire.Ping]) == []
    end = only_end(say(session, SAMPLES[wire.Ping]))
    assert end.code is Code.PROTOCOL


@given(st.sampled_from(list(State)), st.binary(max_size=200))
def test_no_bytes_raise(state: State, frame: bytes) -> None:
    session = in_state(state)
    events = session.receive(frame, NOW_MS)
    assert events == ([] if state is State.CLOSED else [Closed(Code.PROTOCOL, "a message could not be read")])


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)
_FIELDS = sorted({field.name for kind in SAMPLES for field in msgspec.structs.fields(kind)})


@given(
    st.sampled_from([state for state in State if state is not State.CLOSED]),
    st.sampled_from([kind.__struct_config__.tag for kind in SAMPLES]),  # type: ignore[attr-defined]
    st.dictionaries(st.sampled_from(_FIELDS), _JSON | st.just(SITE) | st.just([SITE])),
)
def test_no_message_raises(state: State, kind: str, fields: dict[str, Any]) -> None:
    session = in_state(state)
    try:
        frame = msgspec.json.encode({"kind": kind, **fields})
    except (OverflowError, UnicodeEncodeError):  # what JSON cannot carry
        return
    session.receive(frame, NOW_MS)
    for answer in session.data_to_send():
        wire.server_decoder.decode(answer)


@pytest.mark.parametrize(
    "frame",
    [
        b"[" * 60_000,
        b'{"kind":"query","id":"a","site":"s","what":"x","args":{"a":' + b"[" * 60_000,
        b'{"kind":"ping","at":1e400}',
        b'{"kind":"ping","at":NaN}',
        b'{"kind":"ping","at":18446744073709551616}',
        b'{"kind":"ping","at":' + b"9" * 5000 + b"}",
        b'\xef\xbb\xbf{"kind":"ping"}',
        b'{"kind":"ping","at":1',
        b'{"kind":"nothing"}',
        b'{"kind":"follow","sites":["\\ud800"]}',
        b'{"kind":"follow","sites":["\xff"]}',
        b"null",
        b"",
    ],
)
def test_hostile_frames_end_an_open_link_with_a_reason(frame: bytes) -> None:
    session = in_state(State.OPEN)
    assert only_end(session.receive(frame, NOW_MS)).code is Code.PROTOCOL


# --- an open link ------------------------------------------------------------------------------------------


def ask(**changes: Any) -> wire.SendCommand:
    message = wire.SendCommand(id=command().id, site=SITE, envelope=seal(payload(), PHONE))
    return msgspec.structs.replace(message, **changes)


def test_a_command_carries_the_grant_it_rests_on() -> None:
    session = in_state(State.OPEN)
    for message in (ask(), ask(grant=grant(grant_id="grant-9"))):
        (event,) = say(session, message)
        assert isinstance(event, CommandAsked)
        assert event.command == command()
        assert event.payload == payload()
        assert event.claims.principal == "driver-1"
        rests_on = verifier().claims(event.message.grant, NOW_MS, SITE)
        assert rests_on.grant == event.claims.grant
    assert session.data_to_send() == []


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (ask(site="site-2"), Code.UNKNOWN_SITE),
        (ask(id="another"), Code.BAD_REQUEST),
        (ask(id=""), Code.BAD_REQUEST),
        (ask(id="x" * 65), Code.BAD_REQUEST),
        (ask(envelope=""), Code.BAD_SIGNATURE),
        (ask(envelope=payload().decode()), Code.BAD_SIGNATURE),
        (ask(envelope=seal(payload(), STRANGER)), Code.BAD_SIGNATURE),
        (ask(envelope=seal(payload(site="site-2"), PHONE)), Code.WRONG_SITE),
        (ask(grant="x"), Code.BAD_GRANT),
        (ask(grant=grant(site="site-2")), Code.WRONG_SITE),
        (ask(grant=grant(key=STRANGER.thumbprint)), Code.BAD_GRANT),
        (ask(grant=grant(now_ms=NOW_MS - 8 * DAY_MS)), Code.GRANT_EXPIRED),
    ],
)
def test_a_command_that_may_not_be_is_refused_under_its_id_and_the_link_lives(
    message: wire.SendCommand, code: Code
) -> None:
    session = in_state(State.OPEN)
    assert say(session, message) == []
    assert refused(session) == (code, message.id[:64])
    assert session.state is State.OPEN


def test_what_is_followed_is_checked_whole() -> None:
    session = in_state(State.OPEN)
    follow = wire.Follow(sites=(SITE, SITE), since={SITE: ("1-a", 7), "site-2": ("1-b", 8)})
    assert say(session, follow) == [Followed((SITE,), {SITE: ("1-a", 7)})]
    assert say(session, wire.Follow(sites=(SITE, "site-2"))) == []
    assert refused(session) == (Code.UNKNOWN_SITE, "")


def test_questions_and_management_carry_rights() -> None:
    session = in_state(State.OPEN)
    (query,) = say(session, SAMPLES[wire.Query])
    (manage,) = say(session, SAMPLES[wire.Manage])
    assert isinstance(query, QueryAsked)
    assert isinstance(manage, ManageAsked)
    assert query.claims == manage.claims == session.claims[SITE]
    for message in (
        wire.Query(id="1", site="site-2", what="sessions"),
        wire.Manage(id="1", site="site-2", name="invite"),
    ):
        assert say(session, message) == []
        assert refused(session) == (Code.UNKNOWN_SITE, "1")
    for limit in (0, -1, 501, 10**12):
        assert say(session, wire.Query(id="1", site=SITE, what="sessions", limit=limit)) == []
        assert refused(session) == (Code.BAD_REQUEST, "1")


def test_a_ping_is_answered() -> None:
    session = in_state(State.OPEN)
    say(session, wire.Ping(at=7))
    assert answers(session) == [wire.Pong(at=7)]


@pytest.mark.parametrize("message", [SAMPLES[wire.Query], SAMPLES[wire.Follow], ask()])
def test_rights_are_judged_at_every_request(message: wire.Message) -> None:
    judge = verifier()
    session = server(serving=serving(judge=judge))
    Talk(client(), session).open()
    assert say(session, message) != []
    judge.revoked = frozenset({revoked_key(PHONE.thumbprint)})
    assert say(session, message) == []
    assert refused(session)[0] == Code.REVOKED
    judge.revoked = frozenset()
    assert say(session, message, NOW_MS + 7 * DAY_MS) == []
    assert refused(session)[0] == Code.GRANT_EXPIRED


def test_a_silent_link_ends_with_its_rights() -> None:
    judge = verifier()
    session = server(serving=serving(judge=judge))
    Talk(client(), session).open()
    assert session.tick(NOW_MS + 7 * DAY_MS - 1) == []
    judge.revoked = frozenset({revoked_key(PHONE.thumbprint)})
    assert session.tick(NOW_MS) == [Closed(Code.REVOKED)]
    (bye,) = answers(session)
    assert isinstance(bye, wire.Bye)
    assert bye.hint
    assert session.tick(NOW_MS) == []
    late = in_state(State.OPEN)
    assert late.tick(NOW_MS + 7 * DAY_MS) == [Closed(Code.GRANT_EXPIRED)]


def test_a_close_from_our_side_has_a_reason_once() -> None:
    session = in_state(State.OPEN)
    assert session.close(Code.SHUTTING_DOWN) == [Closed(Code.SHUTTING_DOWN)]
    assert session.close(Code.BUSY) == []
    (bye,) = answers(session)
    assert isinstance(bye, wire.Bye)
    assert bye.code == Code.SHUTTING_DOWN


def test_a_grace_that_begins_while_a_link_is_open_is_told_once() -> None:
    judge = verifier()
    judge.grace_ms = 7 * DAY_MS
    session = server(serving=serving(judge=judge))
    Talk(client(), session).open()
    assert session.tick(NOW_MS + 7 * DAY_MS - 1) == []
    (told,) = session.tick(NOW_MS + 7 * DAY_MS)
    assert isinstance(told, Authenticated)
    (claims,) = told.claims
    assert (claims.grace, claims.expires_ms) == (True, NOW_MS + 14 * DAY_MS)
    assert session.tick(NOW_MS + 8 * DAY_MS) == [], "told"
    assert session.tick(NOW_MS + 14 * DAY_MS) == [Closed(Code.GRANT_EXPIRED)]
