"""Certificate mode: serial names, the root bundle, and which certificates to believe (sheet §1.8).

Alipay names a certificate by ``md5(issuer + serial)``, where the issuer is printed as Java prints it. MD5 is a name
here, not a protection: a downloaded certificate is believed because a root of the bundle signed it, and for no other
reason.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime

from unicom_coupon_sdk.crypto import material as materials
from unicom_coupon_sdk.crypto.certificates import Certificate
from unicom_coupon_sdk.errors import ConfigurationError, ForgedMessage

_RSA_SIGNATURES = "1.2.840.113549.1.1."
_SM2_SIGNATURES = "1.2.156.10197.1.501"
_RSA_OID_BYTES = bytes.fromhex("2a864886f70d0101")
_SHORT_NAMES = {
    "2.5.4.3": "CN",
    "2.5.4.11": "OU",
    "2.5.4.10": "O",
    "2.5.4.7": "L",
    "2.5.4.8": "ST",
    "2.5.4.6": "C",
    "2.5.4.9": "STREET",
    "0.9.2342.19200300.100.1.25": "DC",
    "0.9.2342.19200300.100.1.1": "UID",
}
_LONGEST_CHAIN = 4


def certificate_sn(certificate: Certificate) -> str:
    """Alipay's name of ``certificate``: 32 lower-case hex digits, leading zeros kept."""
    text = issuer_name(certificate) + certificate.serial_decimal
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def issuer_name(certificate: Certificate) -> str:
    """The issuer in RFC 2253 form exactly as Java's ``X500Principal.getName()`` prints it."""
    name = certificate.issuer_name
    encoded = _values_of(name.public_bytes())
    printed, at = [], 0
    for rdn in name.rdns:
        parts = []
        for attribute in rdn:
            short = _SHORT_NAMES.get(attribute.oid.dotted_string)
            parts.append(
                f"{short}={_escaped(str(attribute.value))}"
                if short
                else f"{attribute.oid.dotted_string}=#{encoded[at].hex()}"
            )
            at += 1
        printed.append("+".join(parts))
    return ",".join(reversed(printed))


def root_sn(bundle: bytes, *, sm2: bool = False, field: str = "alipay_root_cert") -> str:
    """The ``alipay_root_cert_sn`` of a bundle: the names of its RSA-signed certificates in file order, joined by ``_``.

    With ``sm2`` those signed by SM2 count instead. Raises ``ConfigurationError`` ``alipay.root_bundle`` when none is.
    """
    wanted = _SM2_SIGNATURES if sm2 else _RSA_SIGNATURES
    names = [certificate_sn(root) for root in read_bundle(bundle, field=field) if root.signature_oid.startswith(wanted)]
    if not names:
        raise ConfigurationError("alipay.root_bundle", field=field, platform="alipay")
    return "_".join(names)


def read_bundle(bundle: bytes, *, field: str) -> tuple[Certificate, ...]:
    """The certificates of a PEM bundle that can be read, in file order; blank lines and comments do not matter.

    Alipay's own bundle holds an EC root whose encoding the X.509 library refuses. Such a one is left out unless it is
    signed by RSA: that would change the bundle's name, so it raises ``ConfigurationError`` ``key.unreadable``.
    """
    found = []
    for block in materials.pem_blocks(bundle, label="CERTIFICATE"):
        try:
            found.append(Certificate.load(block, field=field))
        except ConfigurationError:
            der, _ = materials.to_der(block, field=field)
            if _RSA_OID_BYTES in der:
                raise
    return tuple(found)


def check_chain(chain: Sequence[Certificate], *, roots: Sequence[Certificate], at: datetime) -> Certificate:
    """The first certificate of ``chain``, once it is found to descend from one of ``roots`` and to be valid at ``at``.

    The rest of ``chain`` and the intermediates in ``roots`` may stand in between; each is checked for its dates and
    its issuer's signature. Raises ``ForgedMessage`` ``alipay.certificate_untrusted``.
    """
    leaf = chain[0] if chain else None
    current = leaf
    anchors = [root for root in roots if root.is_signed_by(root)]
    between = [*chain[1:], *(root for root in roots if root not in anchors)]
    for _ in range(_LONGEST_CHAIN):
        if current is None or not current.valid_at(at):
            break
        if any(current.is_signed_by(anchor) and anchor.valid_at(at) for anchor in anchors):
            assert leaf is not None
            return leaf
        step = current
        current = next((issuer for issuer in between if issuer != step and step.is_signed_by(issuer)), None)
        if current is not None and not _may_sign(current):
            break
    raise ForgedMessage("alipay.certificate_untrusted", platform="alipay")


def _may_sign(certificate: Certificate) -> bool:
    """Whether the certificate says that it belongs to a certification authority (basicConstraints)."""
    from cryptography import x509

    parsed = x509.load_der_x509_certificate(certificate.der)
    try:
        return parsed.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (x509.ExtensionNotFound, ValueError):
        return False


def _escaped(text: str) -> str:
    body = "".join(f"\\{letter}" if letter in ',+"\\<>;' else letter for letter in text)
    if body[:1] in {"#", " "}:
        body = "\\" + body
    return body[:-1] + "\\ " if body.endswith(" ") and body != "\\ " else body


def _values_of(name: bytes) -> list[bytes]:
    """The DER of each attribute value of a Name, in order: SEQUENCE of SET of SEQUENCE of (OID, value)."""
    found = []
    for rdn in _children(name):
        for attribute in _children(rdn):
            _, value = _children(attribute)
            found.append(value)
    return found


def _children(der: bytes) -> list[bytes]:
    """The elements inside one constructed DER element that an X.509 library has written."""
    at, end = _span(der, 0)
    found = []
    while at < end:
        _, stop = _span(der, at)
        found.append(der[at:stop])
        at = stop
    return found


def _span(der: bytes, at: int) -> tuple[int, int]:
    length, start = der[at + 1], at + 2
    if length & 0x80:
        size = length & 0x7F
        length, start = int.from_bytes(der[start : start + size]), start + size
    return start, start + length
