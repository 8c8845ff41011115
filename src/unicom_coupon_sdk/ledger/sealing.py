"""Which personal data the ledger keeps, and how: sealed, each value to its own row, with blind indexes to look it up.

A sealed value is authenticated together with the row it belongs to, so a copy of another row's bytes does not open.
Phone numbers are not kept at all: the index of the holder is enough to recognise them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TypeVar

from unicom_coupon_sdk.crypto.fields import FieldCipher
from unicom_coupon_sdk.domain.code import CouponCode
from unicom_coupon_sdk.domain.order import Holder
from unicom_coupon_sdk.domain.sensitive import PlatformUser, Sensitive
from unicom_coupon_sdk.domain.sharing import Receiver
from unicom_coupon_sdk.ledger.codec import canonical

S = TypeVar("S", bound=Sensitive)


class Sealer:
    """Seals and indexes the ledger's personal data with ``cipher``."""

    __slots__ = ("_cipher",)

    def __init__(self, cipher: FieldCipher) -> None:
        self._cipher = cipher

    def code_index(self, code: CouponCode) -> bytes:
        """What a coupon is found by when its code is shown."""
        return self._cipher.index(code.reveal(), context="coupon.code")

    def seal_code(self, code: CouponCode, *, coupon_id: str) -> bytes:
        """A coupon's code."""
        return self._cipher.seal(code.reveal(), context=f"coupon.code.{coupon_id}")

    def open_code(self, sealed: bytes, *, coupon_id: str) -> CouponCode:
        """A coupon's code as it was."""
        return _restored(CouponCode, self._cipher.open(sealed, context=f"coupon.code.{coupon_id}"))

    def holder_index(self, holder: Holder, *, platform: str) -> bytes:
        """What a holder is recognised by. The guard computes the same from a phone that a platform vouches for."""
        return self._cipher.index(holder.identity(platform), context="holder")

    def user_index(self, user: PlatformUser, *, platform: str) -> bytes:
        """What a platform's user is recognised by."""
        return self._cipher.index(user.reveal(), context=f"binding.user.{platform}")

    def seal_user(self, user: PlatformUser, *, coupon_id: str, platform: str) -> bytes:
        """A platform's user, in the binding of a coupon."""
        return self._cipher.seal(user.reveal(), context=f"binding.user.{platform}.{coupon_id}")

    def open_user(self, sealed: bytes, *, coupon_id: str, platform: str) -> PlatformUser:
        """The user as it was."""
        return _restored(PlatformUser, self._cipher.open(sealed, context=f"binding.user.{platform}.{coupon_id}"))

    def seal_instructions(self, instructions: Mapping[str, object], *, challenge_id: str) -> bytes:
        """A challenge's instructions."""
        return self._cipher.seal(canonical(dict(instructions)), context=f"challenge.instructions.{challenge_id}")

    def open_instructions(self, sealed: bytes, *, challenge_id: str) -> dict[str, object]:
        """The instructions as they were."""
        found: dict[str, object] = json.loads(
            self._cipher.open(sealed, context=f"challenge.instructions.{challenge_id}")
        )
        return found

    def seal_receiver(self, receiver: Receiver, *, share_id: str, number: int) -> bytes:
        """Whom a line of a share pays."""
        plain = {
            "merchant_account": receiver.merchant_account,
            "user": receiver.user.reveal() if receiver.user else None,
            "name": receiver.name.reveal() if receiver.name else None,
        }
        return self._cipher.seal(canonical(plain), context=f"share.receiver.{share_id}.{number}")

    def open_receiver(self, sealed: bytes, *, share_id: str, number: int) -> Receiver:
        """The receiver as it was."""
        return Receiver.parse(json.loads(self._cipher.open(sealed, context=f"share.receiver.{share_id}.{number}")))


def _restored(kind: type[S], text: str) -> S:
    """A value of ``kind`` whose text was normalised before it was sealed, so that is not done again."""
    made = object.__new__(kind)
    made._text = text
    return made
