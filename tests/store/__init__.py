"""The store's contract: one suite, for every database that implements it."""
