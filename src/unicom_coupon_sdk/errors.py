"""The error tree: who is to blame, whether anything was done, and what to do about it.

::

    CouponError
    ├── ConfigurationError       settings, keys, certificates: found at load
    ├── CallerError              the request is wrong, nothing was done
    │   ├── ValidationError · CouponStateError · LimitError · RiskError
    │   ├── VerificationError · ComplianceError · UnsupportedOperation
    │   └── IdempotencyConflict  same key, other request
    ├── PlatformError            the platform answered or should have
    │   ├── PlatformRefused      definite: not done
    │   ├── PlatformUnavailable  definite: not done, try again later
    │   └── PlatformUnknown      not known: ``recover`` will ask
    ├── ForgedMessage            a signature, serial, time or nonce is wrong
    └── LedgerError              the store

An error is a stable ``code`` with named details. What a person reads (message, cause, remedy) is looked up in the
catalogue in their language when it is asked for, so codes are the same everywhere and no caller parses prose.
Details never carry a key, a coupon code, a phone number or a message body.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, ClassVar

from unicom_coupon_sdk import texts

if TYPE_CHECKING:
    import pydantic


class Effected(StrEnum):
    """Whether what was asked for has happened."""

    NOT_DONE = "not_done"
    DONE = "done"
    PENDING = "pending"  # taken on, and somebody there has yet to act
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """An error explained to a person, in one language."""

    code: str
    message: str
    cause: str
    remedy: str
    outcome: Effected
    retryable: bool
    field: str | None
    platform: str | None
    platform_code: str | None
    request_id: str | None


class CouponError(Exception):
    """The root: everything this package raises on purpose.

    ``code`` is stable and names an entry of the catalogue. ``outcome`` says whether the thing asked for was done;
    ``retryable`` whether the same request may be sent again as it is; ``retry_after_s`` when, in seconds, if known.
    """

    default_code: ClassVar[str] = "error.internal"
    outcome: Effected = Effected.NOT_DONE
    retryable: bool = False

    def __init__(
        self,
        code: str | None = None,
        /,
        *,
        field: str | None = None,
        platform: str | None = None,
        platform_code: str | None = None,
        request_id: str | None = None,
        retry_after_s: float | None = None,
        **details: object,
    ) -> None:
        self.code = code or self.default_code
        self.field = field
        self.platform = platform
        self.platform_code = platform_code
        self.request_id = request_id
        self.retry_after_s = retry_after_s
        self.details = details
        super().__init__(self.code)

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.code, self.state()))

    def state(self) -> dict[str, Any]:
        """All that was told to the constructor beside the code, by name; it makes the same error again."""
        return {
            "field": self.field,
            "platform": self.platform,
            "platform_code": self.platform_code,
            "request_id": self.request_id,
            "retry_after_s": self.retry_after_s,
            **self.details,
        }

    def diagnostics(self, language: str | None = None) -> Diagnosis:
        """The error in words: what happened, why, and what to do. ``language`` is ``zh`` or ``en``."""
        values = {key: value for key, value in self.state().items() if value is not None}
        return Diagnosis(
            code=self.code,
            message=texts.text(self.code, part="message", language=language, values=values),
            cause=texts.text(self.code, part="cause", language=language, values=values),
            remedy=texts.text(self.code, part="remedy", language=language, values=values),
            outcome=self.outcome,
            retryable=self.retryable,
            field=self.field,
            platform=self.platform,
            platform_code=self.platform_code,
            request_id=self.request_id,
        )

    def __str__(self) -> str:
        told = self.diagnostics()
        origin = [part for part in (self.platform_code, self.request_id) if part]
        return f"{self.code}: {told.message}" + (f" [{', '.join(origin)}]" if origin else "")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"


def _rebuild(kind: type[CouponError], code: str, state: dict[str, Any]) -> CouponError:
    return kind(code, **state)


class ConfigurationError(CouponError):
    """Settings, keys or certificates are wrong. Found when they are loaded, before any call."""

    default_code = "config.invalid"


class CallerError(CouponError):
    """The request is wrong. Nothing was done, and nothing was sent."""

    default_code = "request.invalid"


class ValidationError(CallerError, ValueError):
    """A field has a shape that cannot be accepted; ``field`` names it.

    Also a ``ValueError``, so that pydantic gathers one raised in a validator and we learn where it was.
    """

    default_code = "request.invalid"

    @classmethod
    def of(cls, error: pydantic.ValidationError, *, within: str = "") -> ValidationError:
        """The first fault of a pydantic error as ours: field and reason, never the value."""
        first = error.errors(include_url=False, include_input=False, include_context=True)[0]
        path = (within, *first["loc"]) if within else first["loc"]
        field = ".".join(str(part) for part in path) or "request"
        cause = first.get("ctx", {}).get("error")
        if isinstance(cause, ValidationError):
            # A rule over several fields is raised with no path of its own and names the field at fault itself.
            named = field if first["loc"] else ".".join(part for part in (within, cause.field) if part)
            return cls(cause.code, **{**cause.state(), "field": named})
        return cls("request.invalid", field=field, reason=first["msg"])


class CouponStateError(CallerError):
    """The coupon cannot do this now: expired, used, held, void, or not known."""

    default_code = "coupon.state"


class LimitError(CallerError):
    """A limit of the platform profile or of the merchant would be exceeded."""

    default_code = "limit.exceeded"


class RiskError(CallerError):
    """Risk control refused."""

    default_code = "risk.refused"


class VerificationError(CallerError):
    """The user's proof is missing, stale or wrong."""

    default_code = "verification.failed"


class ComplianceError(CallerError):
    """A rule of the platform or of the law forbids sending or keeping this."""

    default_code = "compliance.refused"


class UnsupportedOperation(CallerError):
    """The platform does not offer this; see ``profile.capabilities``."""

    default_code = "platform.unsupported"


class IdempotencyConflict(CallerError):
    """The idempotency key was used before with another request, or that request still runs."""

    default_code = "idempotency.conflict"


class PlatformError(CouponError):
    """The platform answered, or should have."""

    default_code = "platform.refused"


class PlatformRefused(PlatformError):
    """Definite: the platform said no, and did nothing."""

    default_code = "platform.refused"


class PlatformUnavailable(PlatformError):
    """Definite: not done, because the platform could not be reached or was too busy. Try again later."""

    default_code = "platform.unavailable"
    retryable = True


class PlatformUnknown(PlatformError):
    """Not known: the request was sent and no trustworthy answer came back. ``recover`` asks the platform."""

    default_code = "platform.unknown"
    outcome = Effected.UNKNOWN


class ForgedMessage(CouponError):
    """A message's signature, key serial, time or nonce is wrong; it was not read."""

    default_code = "message.forged"


class LedgerError(CouponError):
    """The ledger cannot be read or written."""

    default_code = "ledger.failed"
