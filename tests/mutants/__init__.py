"""The mutation gate on the product itself: without this safeguard, that test is red."""
