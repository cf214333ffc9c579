"""`plugside-cloud`: the operator's command line."""
