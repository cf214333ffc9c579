"""The cloud's store: one protocol (`ports`), one implementation on SQL (`sql`), plain rows in between."""
