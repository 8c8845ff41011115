"""UnionPay's online gateway (ACP, 全渠道): signing, answers, encrypted fields and bills (sheet 10 and 11.3).

Used where a coupon is applied inside a UnionPay online or QR payment, and to fetch bills. Nothing here does I/O.
"""
