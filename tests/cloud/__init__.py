"""The cloud over real sockets on loopback: a box that speaks the tunnel, devices that speak the app link."""
