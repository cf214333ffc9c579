"""The client's session: whom it believes, what it lets go and when, and what it shows."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common import wire
from common.appsession import ClientSession, Closed, Positions, ServerSession
from common.appsession.client import State
from common.domain import Path
from common.errors import Code, LocalFault, PlugsideError
from common.trust import Purpose, Transcript, b64
from common.view import View
from tests.applink.talk import BINDING, WELCOME, Talk, client, codes, server, serving
from tests.trust.cast import BOX, CLOUD, NOW_MS, SITE, STRANGER, flipped, grant

TIME = "2027-01-15T08:00:00.000Z"


def proof_for(session: ClientSession, by: ServerSession | None = None) -> wire.Proof:
    """The proof that a server gives to this client's hello."""
    by = by or server()
    session.hello()
    by.receive(session.data_to_send()[0], NOW_MS)
    proof = wire.server_decoder.decode(by.data_to_send()[0])
    assert isinstance(proof, wire.Proof)
    return proof


def lets_nothing_go(session: ClientSession, message: wire.Message) -> Code:
    """Give it this answer to its hello; nothing of the client's may leave. Returns why it ended."""
    (end,) = session.receive(wire.encode(message))
    assert isinstance(end, Closed)
    assert session.data_to_send() == []
    assert session.state is State.CLOSED
    return end.code


def against(session: ClientSession, by: ServerSession | None = None) -> Code:
    """The same, with the answer of this server."""
    return lets_nothing_go(session, proof_for(session, by))


def test_the_grant_leaves_only_after_the_proof() -> None:
    session = client()
    session.hello()
    (hello,) = session.data_to_send()
    assert grant().encode() not in hello
    assert session.grants[0].encode() not in hello
    with pytest.raises(PlugsideError):
        session.show(grant())
    with pytest.raises(PlugsideError):
        session.renew(grant())
    with pytest.raises(PlugsideError):
        session.redeem("secret")
    assert session.data_to_send() == []


@given(
    st.sampled_from(["nonce", "server", "key", "path", "time", "clock", "signature"]),
    st.integers(min_value=0),
)
def test_no_grant_byte_leaves_after_any_flipped_byte_of_the_proof(field: str, position: int) -> None:
    session = client()
    proof = proof_for(session)
    wrong = msgspec.structs.replace(proof, **{field: flipped(getattr(proof, field), position)})
    code = lets_nothing_go(session, wrong)
    assert code in {Code.UNTRUSTED_PEER, Code.PROTOCOL}


@given(st.integers(min_value=0), st.integers(min_value=0))
def test_nor_with_a_changed_certificate_list(position: int, which: int) -> None:
    session = client(binding="")
    proof = proof_for(session, server(binding=""))
    changed = list(proof.certificates)
    changed[which % 2] = flipped(changed[which % 2], position).lower()
    for certificates in (tuple(changed), proof.certificates[:1], (*proof.certificates, "ee" * 32), ()):
        again = client(binding="")
        again.hello()
        again.data_to_send()
        assert lets_nothing_go(again, msgspec.structs.replace(proof, certificates=certificates))


def test_a_twin_with_a_key_of_its_own_gets_nothing() -> None:
    twin = msgspec.structs.replace(serving(), identity=STRANGER)
    assert against(client(), server(serving=twin)) is Code.UNTRUSTED_PEER
    # The same, calling itself by the true box's name.
    session = client()
    posing = msgspec.structs.replace(proof_for(session, server(serving=twin)), server=BOX.fingerprint)
    assert lets_nothing_go(session, posing) is Code.UNTRUSTED_PEER


def test_a_twin_that_passes_everything_on_gets_nothing() -> None:
    # The client talks TLS to the twin, whose certificate the true box neither lists nor is bound to.
    assert against(client(binding="33" * 32)) is Code.UNTRUSTED_PEER
    # The twin shows the client one certificate of the box's list, and talks to the box over another.
    other = server(binding="22" * 32)
    assert against(client(binding=BINDING), other) is Code.UNTRUSTED_PEER


def test_the_certificate_in_use_is_one_that_the_box_names() -> None:
    # Bound to it at both ends, but not in the list: phones that pin the list would not come in again.
    assert against(client(), server(certificates=("22" * 32,))) is Code.UNTRUSTED_PEER


def test_a_server_goes_by_the_name_of_its_own_key() -> None:
    # On the local socket no name is pinned; the one that is told must still be the key's own.
    local = client(path=Path.LOCAL, server=None, key=None, grants=(), binding="")
    proof = proof_for(local, server(serving=serving(Path.LOCAL), binding=""))
    transcript = Transcript(
        offered=wire.VERSIONS,
        version=1,
        client_nonce=b64(b"c" * 32),
        server_nonce=proof.nonce,
        server=STRANGER.fingerprint,
        path=Path.LOCAL,
        certificates=proof.certificates,
        binding="",
    )
    signature = BOX.sign(Purpose.SERVER_PROOF, transcript.proof(proof.time, proof.clock))
    posing = msgspec.structs.replace(proof, server=STRANGER.fingerprint, signature=signature)
    assert lets_nothing_go(local, posing) is Code.UNTRUSTED_PEER


def test_a_proof_of_another_link_is_worthless() -> None:
    old = proof_for(client(nonce=b64(b"o" * 32)))
    session = client()
    session.hello()
    session.data_to_send()
    assert lets_nothing_go(session, old) is Code.UNTRUSTED_PEER


def test_a_cloud_does_not_pass_for_a_box_nor_one_path_for_another() -> None:
    at_cloud = server(serving=msgspec.structs.replace(serving(Path.CLOUD), identity=CLOUD))
    assert against(client(), at_cloud) is Code.PROTOCOL
    assert against(client(path=Path.CLOUD)) is Code.PROTOCOL


def test_a_version_that_was_not_offered_is_refused() -> None:
    session = client()
    assert lets_nothing_go(session, msgspec.structs.replace(proof_for(session), version=2)) is (
        Code.UNSUPPORTED_VERSION
    )


@pytest.mark.parametrize(
    "message",
    [
        WELCOME,
        wire.Granted(grant="g", site=WELCOME.sites[0]),
        wire.Accepted(id="1"),
        wire.Snapshot(site=SITE, epoch="1-a", seq=1, view=View(site=SITE), at=TIME),
    ],
)
def test_who_does_not_prove_itself_first_is_left(message: wire.Message) -> None:
    session = client()
    session.hello()
    session.data_to_send()
    assert lets_nothing_go(session, message) is Code.PROTOCOL


def test_the_words_of_a_stranger_are_not_passed_on() -> None:
    session = client()
    session.hello()
    bye = wire.Bye(code="busy", message="Visit evil.example", hint="and enter your password")
    assert session.receive(wire.encode(bye)) == [Closed(Code.BUSY)]


def test_the_words_of_the_proved_are() -> None:
    talk = Talk(client(), server()).open()
    talk.server.close(Code.SHUTTING_DOWN)
    talk.answer()
    assert codes(talk.heard) == [Code.SHUTTING_DOWN] * 2
    assert talk.client.state is State.CLOSED


def test_the_proof_is_kept_for_pinning_and_for_the_clock() -> None:
    talk = Talk(client(), server()).open()
    assert talk.client.proof is not None
    assert talk.client.proof.time == "2027-01-15T08:00:00.000Z"
    assert talk.client.proof.certificates[0] == BINDING
    assert talk.client.welcome == WELCOME


def test_an_unpaired_client_connects_to_nothing_but_the_local_socket() -> None:
    for options in ({"server": None}, {"key": None}):
        with pytest.raises(LocalFault) as raised:
            client(**options)
        assert raised.value.code is Code.NOT_PAIRED


def test_nothing_is_asked_before_the_welcome() -> None:
    session = client()
    with pytest.raises(LocalFault):
        session.follow(SITE)


@given(st.binary(max_size=100))
def test_no_bytes_raise(frame: bytes) -> None:
    session = Talk(client(), server()).open().client
    (end,) = session.receive(frame)
    assert isinstance(end, Closed)
    assert end.code is Code.PROTOCOL
    assert session.receive(b"more") == []


def test_an_oversized_frame_ends_the_link() -> None:
    session = Talk(client(), server()).open().client
    (end,) = session.receive(b" " * (wire.SERVER_BYTES_MAX + 1))
    assert end.code is Code.TOO_LARGE  # type: ignore[union-attr]


def test_messages_pass_through_in_order() -> None:
    talk = Talk(client(), server()).open()
    told: list[Any] = [wire.Accepted(id="1"), wire.Confirmed(id="1", answer="accepted"), wire.Pong(at=1)]
    for message in told:
        talk.tell(message)
    assert talk.heard[-3:] == told
    talk.tell(wire.Proof(version=1, nonce="", server="", key="", path="lan", time="", signature=""))
    assert codes(talk.heard) == [Code.PROTOCOL]


# --- what is shown -----------------------------------------------------------------------------------------


def snapshot(epoch: str, seq: int, source: str = "edge") -> wire.Snapshot:
    return wire.Snapshot(site=SITE, epoch=epoch, seq=seq, view=View(site=SITE), at=TIME, source=source)


def fact(epoch: str, seq: int) -> wire.FactMessage:
    return wire.FactMessage(site=SITE, epoch=epoch, seq=seq, record=msgspec.Raw(b"{}"))


def test_facts_are_shown_once_in_order_with_gaps_allowed() -> None:
    positions = Positions()
    assert not positions.admits(fact("1-a", 1))  # nothing to apply it to yet
    assert positions.admits(snapshot("1-a", 5))
    shown = [seq for seq in (4, 5, 6, 6, 9, 8, 10) if positions.admits(fact("1-a", seq))]
    assert shown == [6, 9, 10]
    assert positions.since([SITE, "site-2"]) == {SITE: ("1-a", 10)}


def test_an_older_snapshot_never_replaces_a_newer_one() -> None:
    positions = Positions()
    assert positions.admits(snapshot("1-a", 5))
    assert not positions.admits(snapshot("1-a", 4))
    assert positions.admits(snapshot("1-a", 5))
    assert positions.admits(snapshot("1-a", 6, "copy"))


def test_numbers_are_not_compared_across_epochs() -> None:
    positions = Positions()
    positions.admits(snapshot("1-a", 500))
    assert not positions.admits(fact("2-b", 501))  # waits for its snapshot
    assert positions.admits(snapshot("2-b", 3))
    assert positions.admits(fact("2-b", 4))
    assert not positions.admits(snapshot("1-a", 900, "copy"))
    assert not positions.admits(fact("1-a", 901))


def test_the_boxs_word_is_not_replaced_by_a_copy_of_unknown_age() -> None:
    positions = Positions()
    assert positions.admits(snapshot("x", 5, "copy"))
    assert positions.admits(snapshot("y", 5, "copy"))
    assert positions.admits(snapshot("z", 1, "edge"))
    assert not positions.admits(snapshot("y", 9, "copy"))
    assert positions.admits(snapshot("w", 1, "edge"))


def test_a_client_that_changes_paths_shows_no_older_state() -> None:
    positions = Positions()
    lan = Talk(client(positions=positions), server()).open()
    lan.tell(snapshot("1-a", 5))
    lan.tell(fact("1-a", 6))
    cloud = Talk(
        client(path=Path.CLOUD, binding="", positions=positions),
        server(serving=serving(Path.CLOUD, site=None), binding="", certificates=()),
    ).open()
    before = len(cloud.heard)
    cloud.tell(snapshot("1-a", 4, "copy"))
    cloud.tell(fact("1-a", 6))
    assert cloud.heard[before:] == []
    cloud.client.follow(SITE)
    asked = wire.client_decoder.decode(cloud.client.data_to_send()[0])
    assert isinstance(asked, wire.Follow)
    assert asked.since == {SITE: ("1-a", 6)}


def shown_until(seq: int) -> Positions:
    positions = Positions()
    lan = Talk(client(positions=positions), server()).open()
    lan.client.follow(SITE)
    lan.tell(snapshot("1-a", 5))
    for number in range(6, seq + 1):
        lan.tell(fact("1-a", number))
    return positions


def heard_again(positions: Positions, told: wire.Message, **path: Any) -> list[Any]:
    """What another link shows of `told` in answer to its follow."""
    talk = Talk(client(positions=positions, **path), server()).open()
    talk.client.follow(SITE)
    before = len(talk.heard)
    talk.tell(told)
    return talk.heard[before:]


def test_a_box_whose_card_was_put_back_is_believed_about_itself() -> None:
    # Found by the simulation: its numbers begin again below what was shown, and its facts fit nothing there.
    positions = shown_until(9)
    assert heard_again(positions, snapshot("1-a", 7))
    assert positions.since([SITE]) == {SITE: ("1-a", 7)}
    assert positions.admits(fact("1-a", 8))


def test_a_snapshot_that_was_overtaken_on_its_way_is_still_old() -> None:
    positions = shown_until(9)
    talk = Talk(client(positions=positions), server()).open()
    talk.client.follow(SITE)
    for number in (10, 11):
        assert positions.admits(fact("1-a", number))  # by another path, meanwhile
    before = len(talk.heard)
    talk.tell(snapshot("1-a", 10))
    assert talk.heard[before:] == []
    talk.tell(snapshot("1-a", 7))  # not the answer to the follow any more
    assert talk.heard[before:] == []


def test_a_box_that_is_back_in_an_earlier_epoch_has_lost_the_later_one() -> None:
    """Its card and its cloud were both put back: nobody but the phone knows of that epoch."""
    positions = Positions()
    first = Talk(client(positions=positions), server()).open()
    first.client.follow(SITE)
    first.tell(snapshot("2-b", 23))
    again = Talk(client(positions=positions), server()).open()
    again.client.follow(SITE)
    before = len(again.heard)
    again.tell(snapshot("1-a", 9))
    again.tell(fact("1-a", 10))
    assert len(again.heard[before:]) == 2, "what the box shows is shown"


def test_a_copy_of_an_earlier_epoch_in_the_cloud_is_old() -> None:
    positions = Positions()
    lan = Talk(client(positions=positions), server()).open()
    lan.tell(snapshot("2-b", 23))
    cloud = Talk(
        client(path=Path.CLOUD, binding="", positions=positions),
        server(serving=serving(Path.CLOUD, site=None), binding="", certificates=()),
    ).open()
    cloud.client.follow(SITE)
    before = len(cloud.heard)
    cloud.tell(snapshot("1-a", 900))
    assert cloud.heard[before:] == []
