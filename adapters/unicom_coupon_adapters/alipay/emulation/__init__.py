"""The Alipay emulator, a noun a module. ``unicom_coupon_adapters.alipay.emulator`` puts them together.

Nothing here uses the adapter's own signing, message or envelope code: canonical strings, certificate numbers, content
encryption and answers are written a second time, so that a mistake made once does not cancel out.
"""
