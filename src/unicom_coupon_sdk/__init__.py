"""China Unicom e-coupons on every platform, behind one interface."""

__version__ = "0.1.0"
