"""Security profiles and passwords: moved up one at a time, never down from afar, nobody locked out."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common import facts
from common.commands import Adjust, Adopt, Configure, Name, Secure
from common.domain import Role
from common.facts import ChargerSecured
from common.policy import Claims
from edge.core import certificates, inputs
from edge.core.inputs import Decision
from tests.core.world import SITE, Site, refusal

MINUTE = 60_000


def by(role: Role) -> Claims:
    return Claims(site=SITE, principal="ivan", role=role)


def ready() -> Site:
    site = Site().ready()
    site.wait(MINUTE)
    return site


def secure(
    site: Site,
    profile: int,
    *,
    id: str = "s-1",  # noqa: A002 - the field's own name
    role: Role = Role.INSTALLER,
    **args: Any,
) -> Decision:
    wanted = Secure(profile=profile, **args)  # type: ignore[arg-type]
    return site.command(Name.SECURE, wanted, id=id, claims=by(role), expires_ms=site.now + 10 * MINUTE)


def come_in(site: Site, profile: int, credential: str = "") -> Decision:
    return site.feed(
        inputs.StationConnected(charger="CP1", protocol="ocpp1.6", profile=profile, credential=credential)
    )


def taken(site: Site) -> set[int]:
    security = site.state.look("CP1").security
    return {security.profile} | ({security.to} if security.to is not None else set())


def outcome(site: Site) -> tuple[str, str]:
    settled = site.last(facts.CommandSettled)
    return settled.outcome, settled.code


def up_to_1(site: Site) -> None:
    told = secure(site, 1, id="up-1")
    site.answer(site.answer(told))
    come_in(site, 1, "up-1")


def test_up_to_1_a_password_then_the_profile_and_done_when_it_came_in_so() -> None:
    site = ready()
    told = secure(site, 1)
    assert told.requests[0].action == inputs.SetPassword("s-1")
    told = site.answer(told)
    assert told.requests[0].action == inputs.SetProfile(1)
    assert taken(site) == {0, 1}
    site.answer(told, detail="RebootRequired")
    assert not site.all(facts.CommandSettled), "saying yes is not coming in so"
    come_in(site, 0)
    assert not site.all(facts.CommandSettled)
    come_in(site, 1, "s-1")
    assert outcome(site) == ("succeeded", "")
    assert taken(site) == {1}
    assert site.state.view.chargers["CP1"].profile == 1
    told = len(site.all(ChargerSecured))
    come_in(site, 1, "s-1")
    assert len(site.all(ChargerSecured)) == told, "coming in as before is no news"
    site.check()


def test_a_refused_password_changes_nothing() -> None:
    site = ready()
    site.answer(secure(site, 1), "rejected")
    assert outcome(site) == ("failed", "charger_rejected")
    assert site.last(ChargerSecured).change == "refused"
    assert site.last(ChargerSecured).credential == "s-1", "what was offered is withdrawn"
    assert taken(site) == {0}
    site.check()


def test_a_refused_rotation_does_not_end_a_move_by_hand() -> None:
    site = ready()
    up_to_1(site)
    secure(site, 2, id="hand", by_hand=True)
    site.answer(secure(site, 1, id="other", rotate=True), "rejected")
    assert outcome(site) == ("failed", "charger_rejected")
    assert taken(site) == {1, 2}
    come_in(site, 2, "up-1")
    assert taken(site) == {2}
    site.check()


def test_a_rotation_is_not_by_hand() -> None:
    site = ready()
    up_to_1(site)
    secure(site, 2, id="hand", by_hand=True)
    assert refusal(secure(site, 1, id="both", rotate=True, by_hand=True)) == "bad_request"
    assert taken(site) == {1, 2}, "what was open stays so"


def test_a_refused_profile_leaves_the_charger_where_it_was_and_its_password_taken() -> None:
    site = ready()
    site.answer(site.answer(secure(site, 1)), "not_supported")
    assert outcome(site) == ("failed", "charger_not_supported")
    assert site.last(ChargerSecured).credential == "", "it has taken the password, so it may come in with it"
    assert taken(site) == {0}


def test_an_answer_that_is_lost_locks_nobody_out_however_late_it_comes_in() -> None:
    for late in (0, 60 * MINUTE):
        site = ready()
        told = site.answer(secure(site, 1))
        site.answer(told, "lost")
        site.wait(late)
        assert taken(site) == {0, 1}
        if late:
            assert outcome(site) == ("unknown", "charger_timeout")
        come_in(site, 1, "s-1")
        assert taken(site) == {1}


def test_a_charger_that_hangs_up_after_its_password_is_told_its_profile_when_it_is_back() -> None:
    site = ready()
    told = site.answer(secure(site, 1))
    site.answer(told, "not_sent", detail="the charger disconnected")
    again = come_in(site, 0)
    assert inputs.SetProfile(1) in [request.action for request in again.requests]
    come_in(site, 1, "s-1")
    assert outcome(site) == ("succeeded", "")


def test_up_to_2_both_roots_come_first_and_one_of_them_is_enough() -> None:
    for first, second in (("accepted", "accepted"), ("rejected", "accepted"), ("accepted", "not_supported")):
        site = ready()
        up_to_1(site)
        told = secure(site, 2)
        assert told.requests[0].action == inputs.TrustSite("ec")
        told = site.answer(told, first)
        assert told.requests[0].action == inputs.TrustSite("rsa")
        told = site.answer(told, second)
        assert told.requests[0].action == inputs.SetProfile(2)
        site.answer(told)
        told = come_in(site, 2, "up-1")
        assert taken(site) == {2}
        # The password went over the wire readable until now: there is another one before this is done.
        assert inputs.SetPassword("s-1") in [request.action for request in told.requests]
        assert not [one for one in site.all(facts.CommandSettled) if one.command == "s-1"]
        site.answer(told)
        come_in(site, 2, "s-1")
        assert (outcome(site), site.state.look("CP1").security.credential) == (("succeeded", ""), "s-1")
        site.check()


@pytest.mark.parametrize("answer", ["rejected", "not_supported", "lost", "timeout"])
def test_a_charger_that_keeps_its_readable_password_is_at_2_all_the_same(answer: str) -> None:
    site = ready()
    up_to_1(site)
    told = site.answer(site.answer(secure(site, 2), "accepted"))
    site.answer(told)
    site.answer(come_in(site, 2, "up-1"), answer)
    site.wait(30 * MINUTE)
    assert (outcome(site), taken(site)) == (("succeeded", ""), {2})
    assert "--rotate" in site.last(facts.CommandSettled).detail
    # whichever of the two it comes in with
    assert site.state.look("CP1").security.credential == "up-1"
    site.check()


def test_without_tls_nobody_leaves_with_a_certificate() -> None:
    for profile in (0, 1):
        site = ready()
        secure(site, profile, id="hand", role=Role.LOCAL, by_hand=True)
        come_in(site, profile)
        refused = site.feed(inputs.CertificateAsked(charger="CP1", csr="csr", authority=True))
        assert refused.reply == inputs.CertificateReply(accepted=False)
        assert "profile 2" in site.last(facts.CertificateChanged).detail


def test_a_charger_that_takes_no_root_is_not_moved() -> None:
    site = ready()
    up_to_1(site)
    site.answer(site.answer(secure(site, 2), "rejected"), "rejected")
    assert (outcome(site), taken(site)) == (("failed", "charger_rejected"), {1})


def test_a_box_without_tls_says_which_setting_is_missing() -> None:
    site = ready()
    up_to_1(site)
    site.answer(secure(site, 2), "no_tls")
    assert outcome(site) == ("failed", "bad_settings")
    assert taken(site) == {1}


def at_3(site: Site) -> Decision:
    """On its way to profile 3: it was told to ask for a certificate."""
    up_to_1(site)
    secure(site, 2, id="hand", by_hand=True)
    come_in(site, 2, "up-1")
    return site.answer(site.answer(secure(site, 3)))


def test_up_to_3_it_gets_a_certificate_before_it_is_told_the_profile() -> None:
    site = ready()
    told = at_3(site)
    assert told.requests[0].action == inputs.Trigger("certificate", None, extended=True)
    assert not site.answer(told).requests
    site.feed(inputs.CertificateAsked(charger="CP1", csr="csr", authority=True))
    sent = site.feed(inputs.CertificateMade(charger="CP1", chain="chain", until_ms=site.now + 10**10))
    told = site.answer(sent)
    assert told.requests[0].action == inputs.SetProfile(3)
    site.answer(told)
    come_in(site, 3)
    assert (outcome(site), taken(site)) == (("succeeded", ""), {3})
    site.check()


@pytest.mark.parametrize("why", ["nobody signs", "it does not take it"])
def test_without_a_certificate_it_stays_at_2(why: str) -> None:
    site = ready()
    site.answer(at_3(site))
    site.feed(inputs.CertificateAsked(charger="CP1", csr="csr", authority=True))
    if why == "nobody signs":
        site.feed(inputs.CertificateMade(charger="CP1", reason="the request is not signed by its own key"))
    else:
        site.answer(site.feed(inputs.CertificateMade(charger="CP1", chain="chain")), "rejected")
    assert (outcome(site), taken(site)) == (("failed", "charger_rejected"), {2})


def test_a_new_password_is_in_use_once_it_came_in_with_it() -> None:
    site = ready()
    up_to_1(site)
    told = secure(site, 1, rotate=True)
    assert told.requests[0].action == inputs.SetPassword("s-1")
    assert len(told.requests) == 1
    site.answer(told)
    come_in(site, 1, "up-1")
    assert site.state.look("CP1").security.offered == "s-1"
    come_in(site, 1, "s-1")
    assert outcome(site) == ("succeeded", "")
    security = site.state.look("CP1").security
    assert (security.credential, security.offered) == ("s-1", "")
    site.check()


@pytest.mark.parametrize(
    ("role", "args", "code"),
    [
        (Role.DRIVER, {"profile": 1}, "not_permitted"),
        (Role.OPERATOR, {"profile": 2}, "not_permitted"),
        (Role.INSTALLER, {"profile": 0, "by_hand": True}, "not_permitted"),
        (Role.INSTALLER, {"profile": 0}, "not_permitted"),
        (Role.LOCAL, {"profile": 0}, "security_profile"),
        (Role.INSTALLER, {"profile": 3}, "security_profile"),
        (Role.INSTALLER, {"profile": 1}, "security_profile"),
        (Role.INSTALLER, {"profile": 2, "rotate": True}, "security_profile"),
    ],
)
def test_what_is_refused_changes_nothing(role: Role, args: dict[str, Any], code: str) -> None:
    site = ready()
    up_to_1(site)
    refused = secure(site, role=role, **args)
    assert refused.progress[0].code == code
    assert (taken(site), refused.requests) == ({1}, ())


def test_who_is_at_the_box_is_told_how_to_go_down() -> None:
    site = ready()
    up_to_1(site)
    assert "never told a lower profile" in secure(site, 0, role=Role.LOCAL).progress[0].detail


def test_down_is_set_by_who_is_at_the_box_and_nothing_is_sent() -> None:
    site = ready()
    up_to_1(site)
    down = secure(site, 0, role=Role.LOCAL, by_hand=True)
    assert (down.requests, taken(site)) == ((), {0})
    assert outcome(site) == ("succeeded", "")


@pytest.mark.parametrize(
    "key",
    [
        *("SecurityProfile", "securityprofile", " AuthorizationKey ", "SecurityCtrlr.BasicAuthPassword"),
        *("securityctrlr.SecurityProfile", "SecurityCtrlr@1.Identity", "AuthorizationKey[1]"),
    ],
)
def test_no_configuration_writes_passwords_or_profiles(key: str) -> None:
    site = ready()
    configure = site.command(Name.CONFIGURE, Configure(key, "0"), claims=by(Role.OPERATOR))
    assert configure.progress[0].code == "security_profile"
    adjust = Adjust(trait="settings", value={key: "0"})
    refused = site.command(Name.ADJUST, adjust, id="cmd-2", claims=by(Role.INSTALLER))
    assert refused.progress[0].code == "security_profile"


def test_a_charger_is_adopted_with_a_profile_and_renamed_without() -> None:
    site = Site()
    site.command(Name.ADOPT, Adopt("Bay 1", profile=1), claims=by(Role.LOCAL))
    assert taken(site) == {1}
    site.command(Name.ADOPT, Adopt("Bay 2", profile=0), id="cmd-2", claims=by(Role.OPERATOR))
    assert taken(site) == {1}, "a name is no way down"
    site.check()


def test_a_certificate_is_renewed_before_it_ends_once_a_day_until_it_is() -> None:
    site = ready()
    until_ms = site.now + certificates.RENEW_BEFORE_MS + 3 * MINUTE

    def asked(decisions: list[Decision]) -> int:
        told = [request.action for decision in decisions for request in decision.requests]
        return told.count(inputs.Trigger("certificate", None, extended=True))

    secure(site, 2, id="hand", by_hand=True)
    come_in(site, 2)

    def install(until_ms: int) -> None:
        site.feed(inputs.CertificateAsked(charger="CP1", csr="csr", authority=True))
        site.answer(site.feed(inputs.CertificateMade(charger="CP1", chain="chain", until_ms=until_ms)))

    install(until_ms)
    assert asked(site.wait(2 * MINUTE)) == 0
    assert asked(site.wait(2 * MINUTE)) == 1
    assert asked(site.wait(2 * certificates.RENEW_AGAIN_MS)) == 2
    install(site.now + 10**11)
    assert asked(site.wait(3 * certificates.RENEW_AGAIN_MS)) == 0
    site.check()


# --- the law -----------------------------------------------------------------------------------------------

_ANSWERS = ("accepted", "rejected", "not_supported", "error", "timeout", "lost", "not_sent")
_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("secure"), st.integers(0, 3), st.booleans(), st.booleans()),
        st.tuples(st.just("answer"), st.sampled_from(_ANSWERS)),
        st.tuples(st.just("dial"), st.integers(0, 3)),
        st.tuples(st.just("wait"), st.sampled_from((MINUTE, 30 * MINUTE))),
    ),
    max_size=25,
)


@settings(max_examples=60, deadline=None)
@given(_STEPS)
def test_law_whatever_an_installer_and_a_charger_do_a_profile_only_rises_and_the_door_is_never_shut(
    steps: list[tuple[Any, ...]],
) -> None:
    site = ready()
    lowest, out = 0, [Decision()]
    for number, step in enumerate(steps):
        match step:
            case ("secure", profile, rotate, by_hand):
                out.append(secure(site, profile, id=f"s-{number}", rotate=rotate, by_hand=by_hand))
            case ("answer", answer) if out[-1].requests:
                out.append(site.answer(out[-1], answer))
            case ("dial", profile) if profile in taken(site):
                out.append(come_in(site, profile, f"s-{number}" if profile in (1, 2) else ""))
                assert taken(site) == {profile} or profile == min(taken(site))
            case ("wait", ms):
                site.wait(ms)
        assert min(taken(site)) >= lowest
        lowest = min(taken(site))
    site.check()
