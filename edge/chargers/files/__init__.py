"""Files between box and chargers over plain HTTP: firmware to them, logs from them.

A charger on a site's network may reach nothing but the box (quirk 96), so the box is the file server. The
`websockets` package reads no request bodies; what is here is the little HTTP that chargers need, with every
size, time and count bounded, and nothing that is uploaded is ever read, run or shown by the box.

    core ──request──▶ desk (gives it an address) ──▶ listener ──▶ charger
    charger ──GET, PUT──▶ server ──▶ passes (whose is it?) ──▶ shelf (disk) ──input──▶ core
"""
