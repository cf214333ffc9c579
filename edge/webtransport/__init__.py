"""WebTransport on the LAN: how an ordinary browser reaches the box with no public certificate.

    page ── QUIC, certificate pinned by hash ──▶ CONNECT /v1/link ──▶ one stream of the page's ──▶ app link

A page of an allowed origin opens a session, and in it one bidirectional stream: one frame a line, both ways,
as on the box's own socket (JSON never holds a raw line break). Everything else that HTTP/3 can do is refused.
A handshake is asked of a budget before any cryptography, and once half of that is gone strangers must prove
their address first (a Retry, RFC 9000 §8.1.2).

Settings and headers beside the standard's are what browsers ask for: Safari wants to be told how many
sessions may be open, and Chromium looks for the draft that it speaks (aioquic issue 644).
"""
