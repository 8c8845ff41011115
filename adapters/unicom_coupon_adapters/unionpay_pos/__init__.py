"""UnionPay POS: coupons at bank terminals over ISO 8583, and UnionPay's online gateway."""
