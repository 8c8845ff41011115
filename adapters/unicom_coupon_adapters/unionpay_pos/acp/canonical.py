"""ACP parameters as text: what is signed, what is posted, and what comes back.

The gateway's synchronous answers look like a form but are not one: values are raw, and may hold ``&`` and ``=`` inside
brackets. Reading them as a form turns ``+`` into a space and breaks every signature.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NoReturn
from urllib.parse import parse_qsl, urlencode

from unicom_coupon_sdk.errors import ValidationError

SIGNATURE: Final = "signature"
LARGEST: Final = 8 * 1024 * 1024
"""Bytes of the largest answer that is read (a bill is inside)."""

_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
_MARKS: Final = re.compile(r"[&{}\[\]]")
_CLOSES: Final = {"{": "}", "[": "]"}


def _refuse(reason: str, *, offset: int, field: str = "answer") -> NoReturn:
    raise ValidationError(
        "unionpay_pos.acp_answer", field=field, platform="unionpay_pos", reason=reason, offset=offset
    ) from None


def cleaned(params: Mapping[str, str]) -> dict[str, str]:
    """The parameters that take part: trimmed, without empty ones and without ``signature``, in ASCII order of names."""
    trimmed = {name: value.strip() for name, value in params.items() if name != SIGNATURE}
    return {name: trimmed[name] for name in sorted(trimmed) if trimmed[name]}


def sign_string(params: Mapping[str, str]) -> str:
    """What is signed: ``k=v`` joined by ``&``, values raw."""
    return "&".join(f"{name}={value}" for name, value in cleaned(params).items())


def form_body(signed: Mapping[str, str]) -> bytes:
    """The body to post: the signed parameters and their signature, URL-encoded as UTF-8."""
    pairs = {**cleaned(signed), SIGNATURE: signed[SIGNATURE]}
    return urlencode(sorted(pairs.items()), encoding="utf-8").encode("ascii")


def parse_answer(content: bytes) -> dict[str, str]:
    """The pairs of a synchronous answer, as they were signed.

    ``&`` separates only outside brackets. A bracket opened in a value counts its own kind until it is closed; a
    closing one with no partner is text. Raises ``ValidationError`` ``unionpay_pos.acp_answer`` with the offset for an
    answer that is too large, not UTF-8, or has an open bracket, a nameless, malformed or repeated pair.
    """
    if len(content) > LARGEST:
        _refuse("size", offset=LARGEST)
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        _refuse("encoding", offset=error.start)
    found: dict[str, str] = {}
    start = 0
    for end in [*_separators(text), len(text)]:
        name, equals, value = text[start:end].partition("=")
        if not equals or not _NAME.fullmatch(name):
            _refuse("pair", offset=start)
        if name in found:
            _refuse("repeated", offset=start, field=name)
        found[name] = value
        start = end + 1
    return found


def _separators(text: str) -> list[int]:
    """Where ``&`` stands outside brackets."""
    places: list[int] = []
    opener, depth, opened_at = "", 0, 0
    for mark in _MARKS.finditer(text):
        character = mark.group()
        if depth == 0:
            if character == "&":
                places.append(mark.start())
            elif character in _CLOSES:
                opener, depth, opened_at = character, 1, mark.start()
        elif character == opener:
            depth += 1
        elif character == _CLOSES[opener]:
            depth -= 1
    if depth:
        _refuse("bracket", offset=opened_at)
    return places


def parse_notice(content: bytes) -> dict[str, str]:
    """The pairs of a notice or a front return, which are ordinary forms.

    Raises ``ValidationError`` ``unionpay_pos.acp_answer``.
    """
    if len(content) > LARGEST:
        _refuse("size", offset=LARGEST)
    try:
        pairs = parse_qsl(
            content.decode("ascii"), keep_blank_values=True, strict_parsing=True, errors="strict", max_num_fields=200
        )
    except ValueError:
        _refuse("pair", offset=0)
    found = dict(pairs)
    if len(found) != len(pairs) or not all(_NAME.fullmatch(name) for name in found):
        _refuse("repeated", offset=0)
    return found
