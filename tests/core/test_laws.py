"""The laws of the core, tried on random histories.

`Site.feed` holds two of them after every input (deciding changes nothing, no deadline is late), `Site.check`
the third (the journal rebuilds the state).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from common import commands, facts
from common.commands import Name
from common.domain import Availability, ConnectorState, MeterSample, Phase, Role, iso
from common.policy import Claims
from edge.core import engine, inputs
from edge.core.connector import STATION_TABLE, TABLE
from edge.core.identity import minted_tag
from edge.core.inputs import Stamp
from edge.core.reports import AvailabilityReported, TransactionEvent
from tests.core.world import AVAILABLE, SITE, T0, UNKNOWN, CountingIds, Site

NINE = [state for state in ConnectorState if state is not UNKNOWN]
CHARGERS = ["CP1", "CP2"]

# --- statuses ----------------------------------------------------------------------------------------------

words = st.lists(
    st.one_of(
        st.sampled_from(NINE),
        st.sampled_from(["lost", "reconnect", "boot", "restart"]),
        st.integers(min_value=1, max_value=40_000),  # milliseconds that pass
    ),
    max_size=30,
)


def tell(site: Site, word: Any) -> None:
    if isinstance(word, ConnectorState):
        if site.state.stations["CP1"].online:
            site.status(word)
    elif isinstance(word, int):
        site.wait(word)
    elif word == "lost":
        site.lose()
    elif word == "boot":
        site.boot()
    elif word == "restart":
        site.feed(inputs.Started())
    else:
        site.connect()


def charging_site() -> Site:
    site = Site()
    site.connect()
    site.begin()
    return site


@given(words, st.sampled_from(NINE), st.booleans())
def test_every_word_of_statuses_ends_at_the_chargers_last_report(
    word: list[Any], last: ConnectorState, repeated: bool
) -> None:
    site = charging_site()
    for step in word:
        tell(site, step)
    if not site.state.stations["CP1"].online:
        site.connect()
    site.status(last)
    if repeated:
        site.status(last)
        assert site.held() is last, "a charger that repeats the truth is believed at once"
    site.wait(30_000)
    assert site.held() is last
    assert site.state.view.chargers["CP1"].connectors[1].state is last
    site.check()


@given(words)
def test_every_step_is_in_the_table_or_says_why(word: list[Any]) -> None:
    site = charging_site()
    for step in word:
        tell(site, step)
    held: ConnectorState = UNKNOWN
    for fact in site.journal:
        body = fact.body
        if isinstance(body, facts.ChargerLost):
            held = UNKNOWN
        if not isinstance(body, facts.ConnectorChanged):
            continue
        match body.via:
            case "init":
                assert held is UNKNOWN
            case "report":
                assert body.state is held or body.state in TABLE[held]
            case "refused":
                assert body.state is held
                assert body.observed not in (None, held, *TABLE[held])
            case "resync":
                assert body.state not in (held, *TABLE[held])
            case via:
                assert via == "epoch"
                assert body.state is held
        held = UNKNOWN if body.via == "epoch" else body.state
        assert body.evse == 1


@given(words)
def test_no_status_opens_or_closes_a_session(word: list[Any]) -> None:
    site = charging_site()
    before = site.open_sessions()
    for step in word:
        # Timers may close: that is time's doing, so here no time passes.
        if not isinstance(step, int):
            tell(site, step)
    assert site.open_sessions() == before
    assert len(site.all(facts.SessionStarted)) == 1
    assert site.all(facts.SessionEnded) == []
    site.check()


@given(st.lists(st.sampled_from([*NINE, "reconnect"]), max_size=20))
def test_the_station_itself_stays_among_its_three_states(word: list[Any]) -> None:
    site = Site()
    site.connect()
    for step in word:
        if step == "reconnect":
            site.connect()
        else:
            site.status(step, evse=0)
    shown = site.state.view.chargers["CP1"].station
    told = [step for step in word if step in STATION_TABLE]
    assert shown is (told[-1] if told else UNKNOWN)
    site.check()


# --- sessions ----------------------------------------------------------------------------------------------

#: Few values, so that repeats and near repeats are common.
starts = st.fixed_dictionaries(
    {
        "charger": st.sampled_from(CHARGERS),
        "evse": st.sampled_from([1, 2]),
        "tag_ref": st.sampled_from(["tag-a", "tag-b", None]),
        "meter_start_wh": st.sampled_from([0.0, 1000.0, None]),
        "started": st.sampled_from(
            [
                Stamp("1970-01-01T00:00:00Z", 0),
                Stamp("2025-06-15T15:00:00"),
                *(Stamp(iso(T0 + offset), T0 + offset) for offset in (0, 1000, 3_600_000)),
            ]
        ),
    }
)
numbers = st.integers(min_value=0, max_value=30)
session_steps = st.lists(
    st.one_of(
        starts,
        st.tuples(st.just("again"), numbers),
        st.tuples(st.just("stop"), numbers),
        st.tuples(st.just("meter"), numbers),
        st.tuples(st.just("status"), st.sampled_from(NINE)),
        st.tuples(st.just("wait"), st.integers(min_value=1, max_value=90_000_000)),
        st.tuples(st.sampled_from(["boot", "lose", "connect"]), st.none()),
    ),
    max_size=25,
)


class History:
    """Sessions driven at random; what was said in reply is remembered."""

    def __init__(self) -> None:
        self.site = Site(CountingIds(transactions=[7, 7, 8, 7, 9]))
        self.site.ready(evses=2)
        self.starts: list[tuple[dict[str, Any], inputs.StartReply]] = []

    def run(self, steps: list[Any]) -> None:
        for step in steps:
            self.step(step)
            self.at_most_one_open()

    def step(self, step: Any) -> None:
        site = self.site
        if isinstance(step, dict):
            self.start(step)
            return
        what, value = step
        if what == "again" and self.starts:
            self.start(self.starts[value % len(self.starts)][0])
        elif what in ("stop", "meter") and self.starts:
            content, reply = self.starts[value % len(self.starts)]
            if what == "stop":
                site.end(reply.transaction, 2000.0 + value, charger=content["charger"])
            else:
                site.meter(
                    site.sample(1000.0 + value),
                    transaction=reply.transaction,
                    charger=content["charger"],
                    evse=content["evse"],
                )
        elif what == "status":
            site.status(value)
        elif what == "wait":
            site.wait(value)
        elif what in ("boot", "lose", "connect"):
            getattr(site, what)()

    def start(self, content: dict[str, Any]) -> None:
        reply = self.site.begin(**content).reply
        assert isinstance(reply, inputs.StartReply)
        self.starts.append((content, reply))

    def at_most_one_open(self) -> None:
        for charger in CHARGERS:
            station = self.site.state.stations.get(charger)
            places = [s.evse for s in station.sessions.values() if not s.ended] if station else []
            assert len(places) == len(set(places)), "two open sessions on a connector"


@given(session_steps)
@settings(max_examples=150)
def test_sessions_and_transaction_ids_are_one_to_one(steps: list[Any]) -> None:
    history = History()
    history.run(steps)
    begun = history.site.all(facts.SessionStarted)
    ids = [(body.charger, body.transaction) for body in begun]
    assert len(ids) == len(set(ids)), "a transaction id was used twice"
    uids = [body.session for body in begun]
    assert len(uids) == len(set(uids)), "two sessions with one uid"
    strong = [body.key for body in begun if not body.weak]
    assert len(strong) == len(set(strong)), "a strong key began two sessions"
    for body in history.site.all(facts.SessionEnded):
        assert body.energy_wh is None or body.energy_wh >= 0
    finals = [body.session for body in history.site.all(facts.SessionEnded)]
    assert len(finals) == len(set(finals)), "a session ended twice"
    history.site.check()


@given(starts, st.lists(session_steps, max_size=4))
@settings(max_examples=80)
def test_a_start_that_can_be_believed_is_one_session_however_often_it_comes(
    content: dict[str, Any], between: list[list[Any]]
) -> None:
    at = T0 + 7_000  # a second that no other start of the history has
    content = content | {"started": Stamp(iso(at), at)}
    history = History()
    first = history.site.begin(**content).reply
    assert isinstance(first, inputs.StartReply)
    key = history.site.last(facts.SessionStarted).key
    remembered = history.site.state.stations[content["charger"]].sessions
    for steps in between:
        history.run(steps)
        if not any(session.key == key for session in remembered.values()):
            return  # it has left memory; then the journal recalls it (test_starts)
        if history.site.state.stations[content["charger"]].frozen:
            return
        again = history.site.begin(**content)
        assert again.facts == ()
        assert again.reply == inputs.StartReply(first.transaction, first.status, first.key, replay=True)
    assert sum(body.key == key for body in history.site.all(facts.SessionStarted)) == 1


# --- everything at once ------------------------------------------------------------------------------------

names = st.sampled_from(["CP1", "CP2", "CP3"])
texts = st.text(max_size=30)
floats = st.none() | st.floats()
evses = st.integers(min_value=-2, max_value=4) | st.integers()
ids_told = st.sampled_from(["-1", "0", "7", "1000010", "1000020", ""]) | texts
instants = st.none() | st.integers(min_value=-(10**14), max_value=10**15)
stamps = st.builds(Stamp, texts | st.just("2025-06-15T15:00:00"), instants)
samples = st.lists(
    st.builds(
        MeterSample,
        at=st.none() | texts | st.just("2025-06-15T15:00:00Z"),
        energy_wh=floats,
        power_w=floats,
        location=st.sampled_from(["outlet", "inlet"]),
    ),
    max_size=3,
).map(tuple)
tags = st.sampled_from(["tag-a", "tag-b", ""])
minted = st.sampled_from(["", minted_tag("cmd-1"), minted_tag("cmd-2")])
claims = st.builds(
    Claims,
    site=st.just(SITE),
    principal=st.sampled_from(["anna", "bert"]),
    role=st.sampled_from(list(Role)),
    chargers=st.none() | st.just(("CP1",)),
)
asked: dict[Name, st.SearchStrategy[Any]] = {
    Name.START: st.just(commands.Start()),
    Name.STOP: st.builds(commands.Stop, st.sampled_from(["?", "last"])),
    Name.UNLOCK: st.just(commands.Unlock()),
    Name.RESET: st.builds(commands.Reset, st.booleans()),
    Name.AVAILABILITY: st.builds(commands.SetAvailability, st.booleans()),
    Name.CONFIGURE: st.just(commands.Configure("k", "v")),
    Name.READ_CONFIGURATION: st.just(commands.ReadConfiguration()),
    Name.MESSAGE: st.just(commands.Message("acme")),
    Name.ADOPT: st.builds(commands.Adopt, texts),
}
commands_given = st.sampled_from(list(asked)).flatmap(
    lambda name: st.tuples(
        st.just(name),
        asked[name],
        st.sampled_from([f"cmd-{number}" for number in range(6)]),
        claims,
        names,
        st.sampled_from([None, 1, 2]),
    )
)
answers = ["accepted", "rejected", "scheduled", "not_supported", "error", "timeout", "lost", "not_sent", "?"]
charger_inputs = st.one_of(
    st.builds(inputs.StationConnected, charger=names, protocol=texts),
    st.builds(inputs.StationDisconnected, charger=names, reason=texts),
    st.builds(inputs.StationWaiting, charger=names, address=texts),
    st.builds(inputs.Booted, charger=names, vendor=texts),
    st.builds(
        inputs.StatusReported,
        charger=names,
        evse=evses,
        connector=evses,
        state=st.sampled_from(ConnectorState),
        info=texts,
    ),
    st.builds(inputs.AuthorizeAsked, charger=names, tag_ref=tags, minted=minted),
    st.builds(
        inputs.TransactionStarted,
        charger=names,
        evse=evses,
        connector=evses,
        tag_ref=st.none() | tags,
        minted=minted,
        meter_start_wh=floats,
        started=stamps,
        offline=st.booleans(),
    ),
    st.builds(
        TransactionEvent,
        charger=names,
        transaction=ids_told,
        step=st.sampled_from(["started", "updated", "ended"]),
        number=st.none() | st.integers(-3, 5) | st.just(2**53 - 1),
        at=stamps,
        offline=st.booleans(),
        evse=st.none() | evses,
        connector=st.none() | evses,
        phase=st.none() | st.sampled_from(Phase),
        tag_ref=st.none() | tags,
        minted=minted,
        remote_start=st.none() | st.integers(0, 2**31 - 1),
        reason=texts,
        samples=samples,
    ),
    st.builds(
        AvailabilityReported,
        charger=names,
        evse=evses,
        connector=evses,
        availability=st.sampled_from(Availability),
        reported_at=texts,
    ),
    st.builds(
        inputs.TransactionEnded,
        charger=names,
        transaction=ids_told,
        tag_ref=st.none() | tags,
        meter_stop_wh=floats,
        ended=stamps,
        samples=samples,
        reason=texts,
    ),
    st.builds(
        inputs.MeterReported,
        charger=names,
        evse=evses,
        connector=evses,
        transaction=st.none() | ids_told,
        samples=samples,
    ),
    st.builds(inputs.Unreadable, charger=names, what=texts, reason=texts, raw=texts),
    st.builds(
        inputs.CallEnded,
        charger=names,
        request=texts,
        command=st.sampled_from([None, *(f"cmd-{number}" for number in range(6))]),
        answer=st.sampled_from(answers),
        result=st.dictionaries(texts, texts, max_size=2),
    ),
)
histories = st.lists(
    st.one_of(
        charger_inputs,
        commands_given,
        st.just(inputs.Started()),
        st.integers(min_value=1, max_value=400_000),
    ),
    max_size=40,
)


def run(site: Site, history: list[Any], after: Callable[[], None] = lambda: None) -> None:
    for step in history:
        if isinstance(step, int):
            site.wait(step)
        elif isinstance(step, inputs.Input):
            site.feed(step)
        else:
            name, args, command, who, charger, evse = step
            if args == commands.Stop("last"):
                open_here = site.open_sessions(charger)
                args = commands.Stop(open_here[-1] if open_here else "?")
            site.command(name, args, id=command, claims=who, charger=charger, evse=evse)
        after()


@given(histories)
@settings(max_examples=200)
def test_nothing_makes_the_core_raise_and_the_journal_rebuilds_it(history: list[Any]) -> None:
    site = Site().ready()
    run(site, history)
    site.check()


@given(histories)
@settings(max_examples=150)
def test_every_command_comes_to_exactly_one_end_and_at_most_once_means_it(history: list[Any]) -> None:
    site = Site().ready()
    called: list[str] = []
    real = site.feed

    def listening(step: inputs.Input) -> inputs.Decision:
        decision = real(step)
        called.extend(request.command for request in decision.requests if request.command)
        return decision

    site.feed = listening  # type: ignore[method-assign]
    run(site, history)
    site.wait(25 * 3_600_000)

    accepted = {body.command: body for body in site.all(facts.CommandAccepted)}
    ended = [body.command for body in site.all(facts.CommandSettled)]
    assert len(ended) == len(set(ended)), "a command ended twice"
    assert set(accepted) <= set(ended), "a command never ended"
    for command, body in accepted.items():
        if commands.CLASSES[Name(body.name)].repeat is commands.Repeat.AT_MOST_ONCE:
            assert called.count(command) <= 1, "called more than once"
    for body in site.all(facts.CommandSettled):
        if body.outcome == "refused":
            assert body.command not in accepted
            assert body.command not in called
    assert all(not station.orders for station in site.state.stations.values())
    site.check()


@given(histories)
@settings(max_examples=100)
def test_what_a_charger_reports_of_transactions_is_never_without_a_trace(history: list[Any]) -> None:
    site = Site().ready()
    for step in history:
        before = len(site.journal)
        decision = site.feed(step) if isinstance(step, inputs.Input) else None
        if isinstance(step, inputs.TransactionStarted | inputs.TransactionEnded) and decision is not None:
            reply = decision.reply
            assert isinstance(reply, inputs.StartReply | inputs.StopReply)
            repeated = reply.replay or _told_before(site, step)
            assert len(site.journal) > before or repeated
        if isinstance(step, inputs.StatusReported):
            site.status(AVAILABLE, charger=step.charger)
    site.check()


def _told_before(site: Site, step: inputs.FromCharger) -> bool:
    """The same odd report again: a conflict or a reused id that is on record already."""
    return bool(site.state.stations[step.charger].orphans)


# --- deadlines ---------------------------------------------------------------------------------------------


def test_whatever_happens_on_a_site_at_rest_is_not_forgotten() -> None:
    """From rest, so that no other timer wakes the core by chance; `Site.feed` compares with a full look."""
    operator_ = Claims(site=SITE, principal="op", role=Role.OPERATOR)
    everything: list[Callable[[Site], Any]] = [
        lambda site: site.connect(),
        lambda site: site.boot(),
        lambda site: site.status(ConnectorState.CHARGING),
        lambda site: site.begin(),
        lambda site: site.command(evse=1),
        lambda site: site.answer(site.command(evse=1)),
        lambda site: site.answer(site.command(evse=1), "timeout"),
        lambda site: site.command(Name.CONFIGURE, commands.Configure("k", "v"), claims=operator_),
        lambda site: (site.lose(), site.begin()),
        lambda site: (
            site.lose(),
            site.command(Name.CONFIGURE, commands.Configure("k", "v"), claims=operator_),
        ),
        lambda site: (site.begin(), site.lose()),
        lambda site: (site.status(ConnectorState.FINISHING), site.status(ConnectorState.PREPARING)),
        lambda site: (site.status(ConnectorState.PREPARING), site.status(ConnectorState.RESERVED)),
        lambda site: (site.begin(), site.status(ConnectorState.CHARGING), site.status(AVAILABLE)),
    ]
    for happens in everything:
        site = Site().ready()
        site.wait(3_600_000)
        assert engine.deadline(site.state) is None
        happens(site)
        site.wait(48 * 3_600_000)
        assert all(order.state == "settled" for order in site.state.orders.values())
        site.check()
