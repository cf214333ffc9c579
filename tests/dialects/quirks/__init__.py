"""The executable catalogue of what real chargers do: one trace an entry, one runner. See README.md."""
