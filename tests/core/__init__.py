"""The pure heart, without an event loop: every input through the same laws (`world`)."""
