"""The test suite; the wheel ships none of it."""
