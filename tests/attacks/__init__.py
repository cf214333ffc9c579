"""Attempts at a box, its phones, chargers and cloud, in numbered groups (README.md here)."""
