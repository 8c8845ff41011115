"""All 35 vectors of the WeChat Pay sheet through the adapter's own functions, with broken siblings of each."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from tests.driving import Driver

from unicom_coupon_adapters.wechatpay import PLUGIN, WechatPaySettings
from unicom_coupon_adapters.wechatpay.bills import unpacked
from unicom_coupon_adapters.wechatpay.certificates import take_certificates
from unicom_coupon_adapters.wechatpay.messages import USE_COUPON
from unicom_coupon_adapters.wechatpay.notifications import open_resource
from unicom_coupon_adapters.wechatpay.sending import FrontEndCoupon, h5_link, plugin_parameters
from unicom_coupon_adapters.wechatpay.signing import (
    BRAND_SCHEME,
    AnswerVerifier,
    PlatformKey,
    RequestSigner,
    sign_v2,
    signed_lines,
)
from unicom_coupon_adapters.wechatpay.suites import RSA, SM, SUITES
from unicom_coupon_sdk.crypto.aead import AesGcm
from unicom_coupon_sdk.crypto.certificates import Certificate
from unicom_coupon_sdk.crypto.keyring import KeyRing
from unicom_coupon_sdk.crypto.providers import Keys
from unicom_coupon_sdk.domain.events import NewsKind
from unicom_coupon_sdk.domain.sensitive import Secret
from unicom_coupon_sdk.errors import ForgedMessage, ValidationError
from unicom_coupon_sdk.platform.wire import HttpAnswer

DATA = json.loads(Path(__file__).with_name("wechatpay.json").read_text("utf-8"))
KEYS: dict[str, Any] = DATA["keys"]
VECTORS: dict[str, dict[str, Any]] = {vector["id"]: vector for vector in DATA["vectors"]}
REQUESTS = [vector for vector in DATA["vectors"] if vector["kind"] == "request_signature"]
PLATFORM = RSA.platform_key(KEYS["platform"]["public_key_pem"].encode(), "platform")
SERIALS = (KEYS["platform"]["public_key_id"], KEYS["platform"]["certificate_serial_no"])


def by_id(vector):
    return vector["id"]


def signer(vector, sign=None, **how):
    merchant = KEYS["merchant"]
    key = RSA.merchant_key(merchant["private_key_pem"].encode(), "merchant")
    return RequestSigner(
        sign or key.sign, caller=how.pop("caller", merchant["mchid"]), serial=merchant["serial_no"], **how
    )


def authorization(vector, made=None, **changes):
    values = {**vector, **changes}
    return (made or signer(vector)).authorization(
        values["method"],
        target=values["canonical_url"],
        body=values["body"].encode(),
        timestamp=int(values["timestamp"]),
        nonce=values["nonce_str"],
    )


def test_every_vector_is_used_here():
    source = Path(__file__).read_text("utf-8")
    unused = {name for name, vector in VECTORS.items() if name not in source and vector["kind"] != "request_signature"}
    assert len(VECTORS) == 35
    assert unused == set()


# --- S02 to S12: request signatures ---


@pytest.mark.parametrize("vector", REQUESTS, ids=by_id)
def test_a_request_is_signed_as_published(vector):
    messages = []

    def keep(message):
        messages.append(message)
        return b""

    authorization(vector, signer(vector, keep))
    assert messages == [vector["sign_message"].encode()]
    assert len(messages[0]) == vector["sign_message_utf8_len"]
    assert hashlib.sha256(messages[0]).hexdigest() == vector["sign_message_sha256"]
    assert f'signature="{vector["signature"]}"' in authorization(vector)


@pytest.mark.parametrize("vector", REQUESTS, ids=by_id)
@pytest.mark.parametrize(
    "change",
    [
        lambda v: {"body": v["body"] + "\n"},
        lambda v: {"canonical_url": v["canonical_url"] + "?"},
        lambda v: {"timestamp": str(int(v["timestamp"]) + 1)},
        lambda v: {"nonce_str": v["nonce_str"].swapcase()},
        lambda v: {"method": v["method"].lower()},
    ],
    ids=["another body", "another target", "another time", "another nonce", "lower-case method"],
)
def test_a_changed_request_has_another_signature(vector, change):
    assert f'signature="{vector["signature"]}"' not in authorization(vector, **change(vector))


def test_s04_is_what_the_adapter_itself_sends():
    vector = VECTORS["S04"]
    assert USE_COUPON.call(json.loads(vector["body"])).content == vector["body"].encode()


def test_the_authorization_header_is_one_line_of_five_pairs():
    vector = VECTORS["S02"]
    scheme, _, pairs = authorization(vector).partition(" ")
    example_scheme, _, example = vector["authorization_example"].partition(" ")
    assert scheme == example_scheme
    assert sorted(pairs.split(",")) == sorted(example.split(","))


# --- S01, S13, S14, S15: other signatures ---


def test_s01_and_s13_are_signed_as_published():
    for vector in (VECTORS["S01"], VECTORS["S13"]):
        key = RSA.merchant_key(KEYS[vector["key"]]["private_key_pem"].encode(), "t")
        assert base64.b64encode(key.sign(vector["sign_message"].encode())).decode() == vector["signature"]
        assert key.sign(vector["sign_message"].encode() + b" ") != base64.b64decode(vector["signature"])
    lines = VECTORS["S13"]["sign_message"].split("\n")[:4]
    assert signed_lines(*lines) == VECTORS["S13"]["sign_message"].encode()


def test_s14_is_the_brand_scheme():
    vector = VECTORS["S14"]
    made = signer(vector, scheme=BRAND_SCHEME, identity="brand_id", caller="120344")
    method, target, stamp, nonce, body, _ = vector["sign_message"].split("\n")
    parts = {"method": method, "canonical_url": target, "timestamp": stamp, "nonce_str": nonce, "body": body}
    scheme, _, pairs = authorization(parts, made).partition(" ")
    wanted_scheme, _, wanted = vector["authorization"].partition(" ")
    assert scheme == wanted_scheme
    assert sorted(pairs.split(",")) == sorted(wanted.split(","))
    for name, part in parts.items():
        broken = {**parts, name: part + "1"}
        assert f'signature="{vector["signature"]}"' not in authorization(broken, made)


def test_s15_verifies_with_its_certificate_and_nothing_else():
    vector = VECTORS["S15"]
    certificate = Certificate.load(vector["certificate_pem"].encode(), field="t")
    key, signature = RSA.certificate_key(certificate), base64.b64decode(vector["signature"])
    assert key.verify(signature, b"message")
    assert not key.verify(signature, b"Message")
    assert not key.verify(signature[:-1] + bytes([signature[-1] ^ 1]), b"message")
    assert not key.verify(b"", b"message")
    assert not PLATFORM.verify(signature, b"message")


# --- R01 to R05: answers ---


def verifier(key=PLATFORM):
    ring: KeyRing[PlatformKey] = KeyRing()
    for serial in SERIALS:
        ring.add(serial, key)
    return AnswerVerifier(ring)


def moment(vector, skew_s=0):
    return datetime.fromtimestamp(int(vector["headers"]["Wechatpay-Timestamp"]) + skew_s, UTC)


def check(vector, *, body=None, now=None, made=None, **headers):
    given = {**vector["headers"], **{name.replace("_", "-"): value for name, value in headers.items()}}
    pairs = tuple((name, value) for name, value in given.items() if value is not None)
    content = vector["body"].encode() if body is None else body
    (made or verifier()).check(pairs, body=content, now=now or moment(vector))


ANSWERS = [VECTORS[name] for name in ("R01", "R02", "R03")]


@pytest.mark.parametrize("vector", ANSWERS, ids=by_id)
def test_a_genuine_answer_is_accepted(vector):
    check(vector)
    check(vector, Wechatpay_Signature_Type=None)
    serial = vector["headers"]["Wechatpay-Serial"]
    check(vector, Wechatpay_Serial=serial.lower())


@pytest.mark.parametrize("vector", ANSWERS, ids=by_id)
@pytest.mark.parametrize(
    "how",
    [
        {"body": b"{}"},
        {"body": b"\n"},
        {"Wechatpay_Nonce": "c5ac7061fccab6bf3e254dcf98995b8d"},
        {"Wechatpay_Timestamp": "1779254977"},
        {"Wechatpay_Serial": "5157F09EFDC096DE15EBE81A47057A7232F1B8E2"},
        {"Wechatpay_Signature": "AAAA"},
        {"Wechatpay_Signature": ""},
        {"Wechatpay_Signature": "=" * 344},
        {"Wechatpay_Signature": None},
        {"Wechatpay_Signature_Type": "WECHATPAY2-SM2-WITH-SM3"},
    ],
    ids=lambda how: "-".join(f"{name}={value}" for name, value in how.items())[:48],
)
def test_a_changed_answer_is_refused(vector, how):
    with pytest.raises(ForgedMessage):
        check(vector, **how)


@pytest.mark.parametrize("vector", ANSWERS, ids=by_id)
def test_an_answer_under_another_key_is_refused(vector):
    other = RSA.platform_key(KEYS["merchant"]["public_key_pem"].encode(), "t")
    with pytest.raises(ForgedMessage):
        check(vector, made=verifier(other))


def test_r04_the_probe_is_refused_and_does_not_crash():
    vector = VECTORS["R04"]
    with pytest.raises(ForgedMessage) as raised:
        check(vector)
    assert raised.value.details["is_probe"] is True
    for cut in (1, 2, 3, 30, 324):
        with pytest.raises(ForgedMessage):
            check(vector, Wechatpay_Signature=vector["headers"]["Wechatpay-Signature"][:-cut])


@pytest.mark.parametrize(("skew_s", "accepted"), VECTORS["R05"]["cases"])
def test_r05_the_clock_window(skew_s, accepted):
    vector = VECTORS["R01"]
    now = moment(vector, skew_s)
    if accepted:
        check(vector, now=now)
        return
    with pytest.raises(ForgedMessage) as raised:
        check(vector, now=now)
    assert raised.value.code == "wechatpay.clock"


# --- N01 to N04: callbacks ---


def test_n01_a_whole_callback_is_verified_then_decrypted():
    vector = VECTORS["N01"]
    key = RSA.platform_certificate(vector["certificate_pem"].encode(), "t")
    ring: KeyRing[PlatformKey] = KeyRing()
    ring.add(key.serial, key.key)
    made = AnswerVerifier(ring)
    check(vector, made=made)
    for broken in (vector["body"].encode()[:-1], vector["body"].encode().replace(b"2021", b"2022")):
        with pytest.raises(ForgedMessage):
            check(vector, made=made, body=broken)
    resource = json.loads(vector["body"])["resource"]
    plain = AesGcm(vector["apiv3_key"].encode()).decrypt(  # 16 bytes: a test key, shorter than settings accept
        base64.b64decode(resource["ciphertext"]),
        nonce=resource["nonce"].encode(),
        aad=resource["associated_data"].encode(),
    )
    assert plain.decode() == vector["expect_plaintext"]


def adapter(**changes):
    return PLUGIN.build(
        WechatPaySettings(
            **{
                "mchid": KEYS["merchant"]["mchid"],
                "appid": "wx1234567889999",
                "merchant_serial": KEYS["merchant"]["serial_no"],
                "merchant_private_key": Secret(KEYS["merchant"]["private_key_pem"]),
                "apiv3_keys": (Secret(KEYS["apiv3_key"]),),
                "platform_public_key_id": KEYS["platform"]["public_key_id"],
                "platform_public_key": Secret(KEYS["platform"]["public_key_pem"]),
                **changes,
            }
        ),
        Keys(),
    )


def test_n02_a_delivered_coupon_is_read_by_the_adapter():
    vector = VECTORS["N02"]
    driver = Driver(now=moment(vector))
    body, headers = vector["body"].encode(), tuple(vector["headers"].items())
    event = driver.run(adapter().parse_notification(headers, body))
    assert event.kind is NewsKind.DELIVERED
    assert event.content == json.loads(vector["expect_plaintext"])
    for broken in (body[:-1], body.replace(b"COUPON.SEND", b"COUPON.USED"), body + b" ", b""):
        with pytest.raises(ForgedMessage):
            driver.run(adapter().parse_notification(headers, broken))
    with pytest.raises(ForgedMessage):
        driver.run(adapter(apiv3_keys=(Secret("f" * 32),)).parse_notification(headers, body))


@pytest.mark.parametrize("name", ["N03", "N04"])
def test_n03_and_n04_are_decrypted_and_their_siblings_are_not(name):
    vector = VECTORS[name]
    cipher = RSA.cipher(vector["apiv3_key"].encode(), "t")
    sealed, nonce = base64.b64decode(vector["ciphertext"]), vector["nonce"].encode()
    aad = vector["associated_data"].encode()
    assert cipher.decrypt(sealed, nonce=nonce, aad=aad).decode() == vector["expect_plaintext"]
    broken = [
        (sealed[:-1], nonce, aad),
        (bytes([sealed[0] ^ 1]) + sealed[1:], nonce, aad),
        (sealed, nonce[:-1] + b"x", aad),
        (sealed, nonce, aad + b"x"),
        (b"", nonce, aad),
    ]
    for text, number, data in broken:
        with pytest.raises(ForgedMessage):
            cipher.decrypt(text, nonce=number, aad=data)


@pytest.mark.parametrize("aad", [None, ""])
def test_absent_and_empty_associated_data_are_the_same(aad):
    vector = VECTORS["N03"]
    resource = {"algorithm": "AEAD_AES_256_GCM", "ciphertext": vector["ciphertext"], "nonce": vector["nonce"]}
    if aad is not None:
        resource["associated_data"] = aad
    body = json.dumps({"resource": resource}).encode()
    _, content = open_resource(body, credentials=adapter().gateway.credentials)
    assert content == json.loads(vector["expect_plaintext"])


# --- C01, C02: certificates ---


@pytest.mark.parametrize("name", ["C01", "C02"])
def test_c01_and_c02_certificates_are_decrypted_and_carry_their_serial(name):
    vector = VECTORS[name]
    [entry] = vector["response"]["data"]
    sealed = entry["encrypt_certificate"]
    plain = RSA.cipher(vector["apiv3_key"].encode(), "t").decrypt(
        base64.b64decode(sealed["ciphertext"]),
        nonce=sealed["nonce"].encode(),
        aad=sealed["associated_data"].encode(),
    )
    assert hashlib.sha256(plain).hexdigest() == vector["expect_plaintext_sha256"]
    assert RSA.platform_certificate(plain, "t").serial == vector["expect_serial"] == entry["serial_no"]


def certificate_answer(response, now):
    key = RSA.merchant_key(KEYS["platform"]["private_key_pem"].encode(), "t")
    content, stamp = json.dumps(response).encode(), str(int(now.timestamp()))
    signature = key.sign(signed_lines(stamp, "nonce", body=content))
    headers = {
        "Wechatpay-Timestamp": stamp,
        "Wechatpay-Nonce": "nonce",
        "Wechatpay-Serial": VECTORS["C02"]["expect_serial"],
        "Wechatpay-Signature": base64.b64encode(signature).decode(),
    }
    return HttpAnswer(200, tuple(headers.items()), content)


def test_c02_is_taken_over_when_the_answer_is_signed_with_what_it_carries():
    now = datetime(2027, 1, 1, tzinfo=UTC)
    certificate_mode = {
        "mode": "certificate",
        "platform_public_key": None,
        "platform_public_key_id": None,
    }
    response = VECTORS["C02"]["response"]

    def taken(changed, at=now):
        credentials = adapter(**certificate_mode).gateway.credentials
        take_certificates(certificate_answer(changed, now), credentials=credentials, now=at)
        return credentials.ring.serials()

    assert taken(response) == (VECTORS["C02"]["expect_serial"],)
    [entry] = response["data"]
    sealed = entry["encrypt_certificate"]
    broken = [
        {"data": [{**entry, "serial_no": "AB" * 20}]},
        {"data": [{**entry, "encrypt_certificate": {**sealed, "nonce": "000000000000"}}]},
        {"data": [{**entry, "encrypt_certificate": {**sealed, "associated_data": "other"}}]},
        {"data": [{**entry, "encrypt_certificate": {**sealed, "algorithm": "AEAD_SM4_GCM"}}]},
        {"data": [{**entry, "encrypt_certificate": None}]},
        {"data": "x"},
        {},
    ]
    for changed in broken:
        with pytest.raises(ForgedMessage):
            taken(changed)
    with pytest.raises(ForgedMessage):
        taken(response, at=now + timedelta(seconds=300))


# --- O01 to O03: fields ---


@pytest.mark.parametrize("name", ["O01", "O02"])
def test_o01_and_o02_fields_are_decrypted_with_oaep_sha1(name):
    vector = VECTORS[name]
    pem = vector.get("private_key_pem") or KEYS[vector["key"]]["private_key_pem"]
    key, sealed = RSA.merchant_key(pem.encode(), "t"), base64.b64decode(vector["ciphertext"])
    assert key.decrypt_field(sealed).decode() == vector["expect_plaintext"]
    other = RSA.merchant_key(KEYS["merchant"]["private_key_pem"].encode(), "t")
    for wrong, text in ((key, sealed[:-1]), (key, bytes([sealed[0] ^ 1]) + sealed[1:]), (other, sealed)):
        with pytest.raises(ForgedMessage):
            wrong.decrypt_field(text)


def test_o03_the_longest_field_has_214_bytes():
    longest = VECTORS["O03"]["max_plaintext_bytes"]
    assert len(PLATFORM.encrypt_field(b"x" * longest)) == 256
    with pytest.raises(ValidationError):
        PLATFORM.encrypt_field(b"x" * (longest + 1))


# --- G01 to G03: the SM suite behind the same interface ---


def test_g01_sm2_verifies_with_its_certificate():
    vector = VECTORS["G01"]
    certificate = SM.platform_certificate(vector["certificate_pem"].encode(), "t")
    signature = base64.b64decode(vector["signature"])
    assert certificate.key.verify(signature, vector["sign_message"].encode())
    broken = [(signature, b"Message"), (signature[:-1], b"message"), (b"", b"message")]
    broken.append((signature[:-1] + bytes([signature[-1] ^ 1]), b"message"))
    for text, message in broken:
        assert not certificate.key.verify(text, message)


def test_g02_sm2_decrypts_a_field():
    vector = VECTORS["G02"]
    key, sealed = SM.merchant_key(vector["private_key_pem"].encode(), "t"), base64.b64decode(vector["ciphertext"])
    assert key.decrypt_field(sealed).decode() == vector["expect_plaintext"]
    for broken in (sealed[:-1], sealed[:-1] + bytes([sealed[-1] ^ 1]), b""):
        with pytest.raises(ForgedMessage):
            key.decrypt_field(broken)


def test_g03_sm4_gcm_has_its_key_from_sm3():
    vector = VECTORS["G03"]
    cipher = SM.cipher(vector["apiv3_key"].encode(), "t")
    sealed, nonce = base64.b64decode(vector["ciphertext"]), vector["nonce"].encode()
    aad = vector["associated_data"].encode()
    assert cipher.decrypt(sealed, nonce=nonce, aad=aad).decode() == vector["expect_plaintext"]
    for text, number, data in ((sealed[:-1], nonce, aad), (sealed, nonce, b""), (sealed, b"x" * 12, aad)):
        with pytest.raises(ForgedMessage):
            cipher.decrypt(text, nonce=number, aad=data)


def test_both_suites_sign_and_verify_the_same_messages():
    vector = VECTORS["S04"]
    sm_key = SM.merchant_key(VECTORS["G02"]["private_key_pem"].encode(), "t")
    made = signer(vector, sm_key.sign, scheme=SUITES["sm"].scheme)
    assert authorization(vector, made).startswith("WECHATPAY2-SM2-WITH-SM3 mchid=")


# --- H01, H02: front-end sending ---


def signed_fields(vector):
    return dict(pair.split("=", 1) for pair in vector["sign_message"].split("&") if not pair.startswith("key="))


@pytest.mark.parametrize("name", ["H01", "H02"])
def test_h01_and_h02_are_signed_as_published(name):
    vector = VECTORS[name]
    fields = signed_fields(vector)
    assert sign_v2(fields, key=vector["apiv2_key"]) == vector["signature"]
    assert sign_v2({**dict(reversed(fields.items())), "empty": ""}, key=vector["apiv2_key"]) == vector["signature"]
    first = next(iter(fields))
    for broken in ({**fields, first: "x"}, {k: v for k, v in fields.items() if k != first}, {**fields, "zz": "1"}):
        assert sign_v2(broken, key=vector["apiv2_key"]) != vector["signature"]
    assert sign_v2(fields, key=KEYS["apiv3_key"]) != vector["signature"]


def test_h01_the_link_is_the_published_one():
    vector = VECTORS["H01"]
    query = {name: values[0] for name, values in parse_qs(urlsplit(vector["url"]).query).items()}
    coupon = FrontEndCoupon(query["stock_id"], query["out_request_no"], query.get("coupon_code"))
    link = h5_link(
        coupon,
        merchant=query["send_coupon_merchant"],
        openid=query["open_id"],
        apiv2_key=Secret(vector["apiv2_key"]),
    )
    assert link == vector["url"]


def test_h02_the_plugins_parameters_carry_the_published_signature():
    vector = VECTORS["H02"]
    coupons = [
        FrontEndCoupon("1222080000000002", "req0001"),
        FrontEndCoupon("1222080000000003", "req0002", "CODE0001"),
    ]
    made = plugin_parameters(coupons, merchant="1900009191", apiv2_key=Secret(vector["apiv2_key"]))
    assert made["sign"] == vector["signature"]
    exchanged = plugin_parameters(coupons[::-1], merchant="1900009191", apiv2_key=Secret(vector["apiv2_key"]))
    assert exchanged["sign"] != vector["signature"]


@pytest.mark.parametrize("stocks", [["1"] * 4, [str(n) for n in range(11)], []])
def test_the_plugin_takes_ten_coupons_and_three_of_one_stock(stocks):
    coupons = [FrontEndCoupon(stock, f"r{n}") for n, stock in enumerate(stocks)]
    with pytest.raises(ValidationError):
        plugin_parameters(coupons, merchant="1900009191", apiv2_key=Secret("k"))


# --- B01: bills ---


def test_b01_the_digest_is_of_the_uncompressed_bytes(tmp_path):
    vector = VECTORS["B01"]
    plain, packed = base64.b64decode(vector["csv_base64"]), base64.b64decode(vector["gzip_base64"])
    original = tmp_path / "original"
    for content, digest in ((packed, vector["hash_value"]), (plain, vector["hash_value"].upper())):
        original.write_bytes(content)
        assert unpacked(original, digest=digest).read_bytes() == plain
    broken = [plain[:-1], plain.replace(b"\r\n", b"\n"), plain.removeprefix(b"\xef\xbb\xbf"), b""]
    for content in (*broken, gzip.compress(plain + b" ")):
        original.write_bytes(content)
        with pytest.raises(ForgedMessage, match=r"wechatpay\.bill_digest"):
            unpacked(original, digest=vector["hash_value"])
    original.write_bytes(packed[:-1])
    with pytest.raises(ValidationError, match=r"bill\.packed"):
        unpacked(original, digest=vector["hash_value"])
