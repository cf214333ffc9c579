"""Tests of the deployment: the units, the install notes, and both under a real systemd."""
