"""The number by which Alipay names a certificate, and the one for a bundle of roots (sheet §1.8)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Final

from cryptography import x509
from cryptography.x509.oid import NameOID

from unicom_coupon_sdk.crypto.certificates import Certificate

RSA_SIGNATURES: Final = "1.2.840.113549.1.1"
_SHORT_NAMES: Final = {
    NameOID.COMMON_NAME: "CN",
    NameOID.ORGANIZATIONAL_UNIT_NAME: "OU",
    NameOID.ORGANIZATION_NAME: "O",
    NameOID.LOCALITY_NAME: "L",
    NameOID.STATE_OR_PROVINCE_NAME: "ST",
    NameOID.COUNTRY_NAME: "C",
    NameOID.STREET_ADDRESS: "STREET",
    NameOID.DOMAIN_COMPONENT: "DC",
    NameOID.USER_ID: "UID",
}


def serial_of(certificate: Certificate) -> str:
    """Hex of MD5 over the issuer's name and the decimal serial; 32 lower-case digits.

    The issuers of this sandbox have plain short names, so no escaping and no dotted attribute is needed here.
    """
    name = ",".join(_attribute(one) for rdn in reversed(certificate.issuer_name.rdns) for one in rdn)
    text = name + certificate.serial_decimal
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def bundle_serial(roots: Iterable[Certificate]) -> str:
    """The numbers of the roots with an RSA signature, in file order, joined by ``_``."""
    return "_".join(serial_of(root) for root in roots if root.signature_oid.startswith(RSA_SIGNATURES))


def _attribute(attribute: x509.NameAttribute[str | bytes]) -> str:
    return f"{_SHORT_NAMES[attribute.oid]}={attribute.value!s}"
