"""A seeded world: the real gateway, core and sync cursor between chargers, links and a cloud that misbehave.

One seed is one history: who plugs in when, which link drops in the middle of what, when the box is killed and
what was on its disk then. Virtual time, one thread, no sockets; the same seed gives the same history.
`make sim SEED=n` replays one and prints what happened.
"""
