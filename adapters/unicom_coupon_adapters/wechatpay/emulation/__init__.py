"""The WeChat Pay emulator, a noun a module. ``unicom_coupon_adapters.wechatpay.emulator`` puts them together.

Nothing here uses the adapter's own signing or message code: canonical strings, header grammar and encryption layouts
are written a second time, so that a mistake made once does not cancel out.
"""
