"""`plugside-edge`: what an installer types on the box."""
