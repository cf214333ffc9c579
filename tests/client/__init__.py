"""The Python client and `plugside`, against real links and servers whose backend is a table of answers."""
