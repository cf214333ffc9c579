"""End to end: box, cloud and driver as real processes on loopback, with chargers that nobody here wrote."""
