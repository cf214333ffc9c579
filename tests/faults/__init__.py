"""Faults that only the system makes: a slow or failing disk, stopped processes, lines that break anywhere."""
