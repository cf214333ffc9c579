"""The cloud's front: HTTP and WebSocket (Litestar on uvicorn). Transports and shapes; no rule stands here."""
