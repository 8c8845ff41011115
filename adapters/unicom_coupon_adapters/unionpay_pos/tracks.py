"""Track encryption under the TDK (sheet 6.6): for an acquirer's host that must read a card sale.

No message that this package builds has a track; the coupon profile forbids fields 35 and 36.
"""

from __future__ import annotations

from collections.abc import Callable

from unicom_coupon_adapters.unionpay_pos.blocks import BlockCipher
from unicom_coupon_adapters.unionpay_pos.frame_errors import refuse


def encrypt_track(track: str, *, key: BlockCipher) -> str:
    """Nibbles of field 35 or 36 with one block encrypted in place; the length stays. ``=`` is written as ``D``.

    The block ends one digit before the last of an odd count and two before the last of an even count.
    Raises ``FrameError`` ``unionpay_pos.frame_digit`` or ``…frame_length`` (too short to hold a block).
    """
    return _replaced(track.replace("=", "D"), key.block, key.encrypt)


def decrypt_track(track: str, *, key: BlockCipher) -> str:
    """The clear nibbles of what ``encrypt_track`` made. Raises as it does."""
    return _replaced(track, key.block, key.decrypt)


def _replaced(track: str, block: int, change: Callable[[bytes], bytes]) -> str:
    if set(track) - set("0123456789ABCDEF"):
        refuse("digit", field="35")
    end = len(track) - (1 if len(track) % 2 else 2)
    start = end - 2 * block
    if start < 0:
        refuse("length", field="35", length=len(track), largest=104)
    changed = change(bytes.fromhex(track[start:end]))
    return track[:start] + changed.hex().upper() + track[end:]
