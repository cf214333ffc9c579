"""A charger in a test that is asked about its settings and limits: it answers what the core asks of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from common.domain import ConnectorState
from edge.core import configuration, inputs
from edge.core.inputs import Decision, Request
from tests.core.world import Site

#: What a charger is set to when it comes out of the box.
FACTORY = {
    "sample_interval_s": "60",
    "clock_aligned_interval_s": "0",
    "sampled_measurands": "energy",
    "stop_measurands": "energy",
    "heartbeat_interval_s": "86400",
    "ping_interval_s": "0",
    "transaction_attempts": "3",
    "transaction_retry_s": "60",
    "connection_timeout_s": "60",
    "authorize_remote_starts": "true",
    "minimum_status_duration_s": "5",
    "profile_level_max": "3",
}


class Charger:
    """`site` with one charger CP1. Overrides: action type → what answers it, in `CallEnded`'s fields."""

    def __init__(self, site: Site | None = None, **settings: str) -> None:
        self.site = site or Site()
        self.settings = {**FACTORY, **settings}
        self.readonly = {"profile_level_max"}
        self.calls: list[Request] = []
        self.answers: dict[type, Callable[[Any], dict[str, Any]]] = {}
        self.profiles: dict[tuple[str, int], inputs.SetLimit] = {}

    def start(self) -> Charger:
        """The box comes up, wanting the usual; the charger connects, boots and is free."""
        self.take(self.site.feed(inputs.Started(settings=dict(configuration.DEFAULTS))))
        self.come()
        return self

    def come(self, **boot: Any) -> None:
        """Connect and boot."""
        self.take(self.site.connect())
        self.boot(**boot)
        self.take(self.site.status(ConnectorState.AVAILABLE))

    def boot(self, **boot: Any) -> None:
        fields = {"vendor": "ACME", "model": "Wallbox", "firmware": "1"} | boot
        self.take(self.site.feed(inputs.Booted(charger="CP1", **fields)))

    def wait(self, ms: int) -> None:
        """Let time pass; every call is answered when it comes."""
        until = self.site.now + ms
        while True:
            before = self.site.now
            due = self.site.state.agenda.next_ms
            step = min(max(due - before, 0), until - before)
            for decision in self.site.wait(step):
                self.take(decision)
            if self.site.now >= until:
                return

    def take(self, decision: Decision) -> Decision:
        """Answer what was asked, and what is asked because of the answer."""
        for request in decision.requests:
            if isinstance(request.action, inputs.TriggerStatus | inputs.Trigger):
                continue
            self.calls.append(request)
            self.take(self.end(request, **self.answer(request.action)))
        return decision

    def end(self, request: Request, **ended: Any) -> Decision:
        """One call's end, without more."""
        return self.site.feed(
            inputs.CallEnded(
                charger=request.charger,
                request=request.id,
                command=request.command,
                context=request.context,
                **ended,
            )
        )

    def answer(self, action: Any) -> dict[str, Any]:
        known = self.answers.get(type(action))
        if known is not None:
            return known(action)
        match action:
            case inputs.ReadSettings():
                told = {
                    name: {"value": self.settings[name], "readonly": name in self.readonly}
                    for name in action.names
                    if name in self.settings
                }
                return {"answer": "accepted", "result": {"settings": told}}
            case inputs.WriteSetting():
                self.settings[action.name] = action.value
            case inputs.SetLimit():
                self.profiles[action.scope, action.evse] = action
            case inputs.ClearLimit():
                if self.profiles.pop((action.scope, action.evse), None) is None:
                    return {"answer": "rejected"}
            case inputs.ReadLimit():
                limits = [one.limit_a for (_, evse), one in self.profiles.items() if evse in (0, action.evse)]
                if not limits:
                    return {"answer": "accepted"}
                return {"answer": "accepted", "result": {"limit_a": min(limits)}}
        return {"answer": "accepted"}

    def asked(self, kind: type) -> list[Any]:
        """Actions of a kind that were asked, in order."""
        return [one.action for one in self.calls if isinstance(one.action, kind)]
