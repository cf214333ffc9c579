"""Tools of the repository itself; nothing here is shipped or imported by the product."""
