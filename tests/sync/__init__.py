"""Tests of the cursor's two halves, alone and against each other."""
