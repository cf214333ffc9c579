"""Hostile bytes for the chargers' door: laws and a corpus; coverage-guided fuzzing by `make fuzz`."""
