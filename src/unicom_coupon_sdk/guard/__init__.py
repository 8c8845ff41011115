"""What stands before a redemption: proof of the holder, limits, and the rules of the platform."""
