"""Seeded worlds in which everything goes wrong, to see that nothing is lost and nothing is done twice.

``python -m unicom_coupon_sdk.sandbox.simulation --seeds 0-1999`` runs two thousand; a failing one prints the command
that repeats it.
"""

from unicom_coupon_sdk.sandbox.simulation.invariants import Broken
from unicom_coupon_sdk.sandbox.simulation.world import Told, World

__all__ = ["Broken", "Told", "World"]
