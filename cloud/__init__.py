"""The light cloud: it stores what boxes report and carries commands when the phone is away."""
