"""The bank, emulated, in parts: keys, wire, one-time codes, coupons, payments, bills, callbacks.

The wire code here is written apart from the adapter's, so that a mistake made once does not cancel out.
"""
