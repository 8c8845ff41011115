"""The parts of the UnionPay POS emulator: an acquirer's host with terminals, batches and coupons (sheet 9)."""
