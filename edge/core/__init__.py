"""The pure heart of the box: `decide`, `apply`, `deadline`. No I/O, no clock, no randomness of its own."""
