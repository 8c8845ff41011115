"""UnionPay's online gateway, emulated. Shares crypto primitives with the adapter, and no code of its wire format."""
