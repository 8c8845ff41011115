"""One strategy a bank: how a call becomes a signed request, and bytes from the bank become a verified reply."""

from __future__ import annotations

from unicom_coupon_adapters.bank.envelopes.base import Envelope, Reply
from unicom_coupon_adapters.bank.envelopes.cmb import CmbEnvelope
from unicom_coupon_adapters.bank.envelopes.experimental import ExperimentalEnvelope
from unicom_coupon_adapters.bank.envelopes.icbc import IcbcEnvelope

__all__ = ["CmbEnvelope", "Envelope", "ExperimentalEnvelope", "IcbcEnvelope", "Reply"]
