"""Command lines: `plugside`, and what the three of them share (`output`)."""
