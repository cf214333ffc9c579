"""Faults that only the system can make: a disk that is slow, or that fails to sync."""
