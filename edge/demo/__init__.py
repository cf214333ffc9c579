"""The demo: cloud, box and simulated chargers on one machine, so that anyone can see a charge in a minute."""
