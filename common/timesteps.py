"""The fact that a box's own clock was set (`edge.timekeeping`). Part of `common.facts`. Pure."""

from __future__ import annotations

from typing import ClassVar

from common.body import Body


class ClockStepped(Body, frozen=True, kw_only=True):
    """The box's own clock was set. What it wrote in this boot so far is off by `after` − `before`.

    Within one boot the times of facts run with the monotonic clock, so that this one number corrects them.
    """

    KIND: ClassVar[str] = "clock_stepped"
    before: str  #: what the site would have told had its clock run on
    after: str  #: the time
    #: stepped_forward | stepped_back (times then run at half the pace until they fit) | signed_later (by a
    #: known issuer) | proven_by_tunnel | proven_by_hand: these two alone let times go back.
    reason: str = ""
    boot: str = ""  #: the machine's, whatever processes it has seen
    mono_ms: int = 0  #: the monotonic clock at that moment
    since: str = ""  #: when the last fact before this boot was written
