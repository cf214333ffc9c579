"""The Python client: how a device with a key finds its sites, steers them and follows them.

    connection   one authenticated app link: requests matched with answers (also the daemons' local socket)
    local        that, over a daemon's own Unix socket
    profile      what a device keeps: its key, its sites, commands on their way
    discovery    mDNS, off the fast path
    client       LAN and cloud raced, falling over with the same command id, never showing older state

Import from the modules; nothing is loaded by importing the package.
"""
