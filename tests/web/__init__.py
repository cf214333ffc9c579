"""The app and its client in a real Chromium."""

from playwright import async_api, sync_api

#: What a page or another process does may take so long on a busy machine (ms); who waits for it has failed.
PATIENCE_MS = 30_000

sync_api.expect.set_options(timeout=PATIENCE_MS)
async_api.expect.set_options(timeout=PATIENCE_MS)
