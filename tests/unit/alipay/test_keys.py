"""Keys in the wrong place are found at load; certificate mode believes what descends from the roots, and nothing else."""

import base64
import json
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from tests.driving import START, Driver
from tests.unit.alipay.peer import (
    _PRIVATE,
    ACTIVITY,
    FAMILY,
    KEYS,
    VECTORS,
    Peer,
    adapter,
    alipay_sign,
    envelope,
    held,
    ok,
    run,
    settings,
)

from unicom_coupon_adapters.alipay import AlipayAdapter
from unicom_coupon_adapters.alipay.certificates import certificate_sn
from unicom_coupon_adapters.alipay.keys import AlipayKeys, AppKey
from unicom_coupon_sdk.crypto.certificates import Certificate
from unicom_coupon_sdk.crypto.providers import Keys
from unicom_coupon_sdk.crypto.rsa import RsaPrivateKey
from unicom_coupon_sdk.domain.sensitive import Secret
from unicom_coupon_sdk.errors import ConfigurationError, Effected, ForgedMessage, PlatformUnknown, ValidationError

DOWNLOAD = "alipay.open.app.alipaycert.download"
APP_PRIVATE = serialization.load_pem_private_key(KEYS["app_private_pkcs8_pem"].encode(), None)
USE = f"{FAMILY}.use"


def name(common):
    parts = ((NameOID.COUNTRY_NAME, "CN"), (NameOID.ORGANIZATION_NAME, "Test"), (NameOID.COMMON_NAME, common))
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in parts])


def certify(subject, key, issuer, issuer_key, *, ca=False, until=datetime(2040, 1, 1, tzinfo=UTC)):
    builder = (
        x509.CertificateBuilder()
        .subject_name(name(subject))
        .issuer_name(name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(until)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    )
    return builder.sign(issuer_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


@pytest.fixture(scope="module")
def authority():
    """A root, an intermediate, the application's certificate and two of Alipay's."""
    root, middle, other = (rsa.generate_private_key(65537, 2048) for _ in range(3))
    return {
        "root": certify("Root", root, "Root", root, ca=True),
        "middle": certify("Middle", middle, "Root", root, ca=True),
        "app": certify("App", APP_PRIVATE, "Middle", middle),
        "alipay": certify("Alipay", _PRIVATE, "Middle", middle),
        "next": certify("Alipay 2", _PRIVATE, "Middle", middle),
        "expired": certify("Alipay 0", _PRIVATE, "Middle", middle, until=START - timedelta(days=1)),
        "stranger": certify("Alipay 3", _PRIVATE, "Root", other),
        "by_leaf": certify("Alipay 4", _PRIVATE, "App", APP_PRIVATE),
    }


def certified(authority, **changes):
    facts = {
        "mode": "certificate",
        "app_cert": Secret(authority["app"]),
        "alipay_certs": (Secret(authority["alipay"]),),
        "alipay_root_cert": Secret(authority["root"] + "\n" + authority["middle"]),
        "alipay_public_keys": (),
    }
    return adapter(**{**facts, **changes})


def sn(pem):
    return certificate_sn(Certificate.load(pem.encode(), field="test"))


def content(*pems):
    return base64.b64encode("\n".join(pems).encode()).decode()


def answer(pem):
    return envelope(USE, ok(activity_id=ACTIVITY), extra=f'"alipay_cert_sn":"{sn(pem)}",')


class TestLoading:
    def test_our_own_public_key_in_alipays_place_is_named(self):
        with pytest.raises(ConfigurationError) as caught:
            adapter(alipay_public_keys=(Secret(KEYS["app_public_pem"]),))
        assert (caught.value.code, caught.value.field) == ("alipay.own_public_key", "alipay_public_keys")
        assert "支付宝公钥" in caught.value.diagnostics("en").remedy

    @pytest.mark.parametrize("name", ["app_private_pkcs1_pem", "app_private_pkcs8_pem"])
    @pytest.mark.parametrize("armour", [True, False])
    def test_both_forms_are_read_with_and_without_armour(self, name, armour):
        text = KEYS[name]
        text = text if armour else "".join(text.strip().split("\n")[1:-1])
        assert run(Peer(use=ok()), adapter(app_private_key=Secret(text)).redeem(held())).effected is Effected.DONE

    @pytest.mark.parametrize(
        ("material", "code"),
        [
            (KEYS["app_public_pem"], "key.is_public"),
            ("junk", "key.unreadable"),
            (next(v["cert_pem"] for v in VECTORS["vectors"] if v["id"] == "E01"), "key.is_certificate"),
        ],
    )
    def test_another_thing_where_the_private_key_belongs_is_named(self, material, code):
        with pytest.raises(ConfigurationError) as caught:
            adapter(app_private_key=Secret(material))
        assert (caught.value.code, caught.value.field) == (code, "app_private_key")

    def test_a_certificate_of_another_key_is_not_a_pair(self, authority):
        with pytest.raises(ConfigurationError) as caught:
            certified(authority, app_cert=Secret(authority["alipay"]))
        assert caught.value.code == "key.not_a_pair"

    def test_our_certificate_in_alipays_place_is_named(self, authority):
        with pytest.raises(ConfigurationError) as caught:
            certified(authority, alipay_certs=(Secret(authority["app"]),))
        assert caught.value.code == "alipay.own_public_key"

    @pytest.mark.parametrize(
        "changes",
        [{"alipay_public_keys": ()}, {"mode": "certificate"}, {"encrypt_content": True, "aes_key": None}],
    )
    def test_a_mode_without_its_keys_is_refused(self, changes):
        with pytest.raises(ConfigurationError) as caught:
            settings(**changes)
        assert caught.value.code == "alipay.mode_keys"

    @pytest.mark.parametrize(
        ("changes", "code"),
        [
            ({"gateway_url": "http://openapi.alipay.invalid/gateway.do"}, "alipay.url"),
            ({"v3_url": "http://openapi.alipay.invalid"}, "alipay.url"),
            ({"gateway": "v3", "sign_type": "SM2"}, "alipay.v3_sign_type"),
        ],
    )
    def test_addresses_and_sign_types_that_cannot_work_are_refused(self, changes, code):
        with pytest.raises(ConfigurationError) as caught:
            settings(**changes)
        assert caught.value.code == code

    def test_a_sandbox_on_this_host_may_be_plain(self):
        assert settings(gateway_url="http://127.0.0.1:8701/gateway.do", v3_url="http://127.0.0.1:8701")

    def test_an_agency_names_its_merchant(self):
        with pytest.raises(ConfigurationError):
            settings(access_mode="agency")
        peer = Peer(use=ok())
        run(peer, adapter(access_mode="agency", belong_merchant_id="2088000000000009").redeem(held()))
        assert peer.calls[0][1]["merchant_access_mode"] == "AGENCY_MODE"

    def test_key_text_does_not_stand_in_a_settings_file(self):
        with pytest.raises((ConfigurationError, ValidationError)):
            AlipayAdapter(settings(app_private_key="inline:" + KEYS["app_private_pkcs1_pem"]), Keys())

    def test_an_hsm_stands_where_the_private_key_does(self):
        key = RsaPrivateKey.load(KEYS["app_private_pkcs1_pem"].encode(), field="hsm")
        made = AlipayAdapter(
            settings(app_private_key="env:NOT_SET"), Keys(), signer=AppKey(key.sign_sha256, key.public_key.der)
        )
        assert run(Peer(use=ok()), made.redeem(held())).effected is Effected.DONE

    def test_an_older_public_key_verifies_until_it_is_removed(self, authority):
        other = rsa.generate_private_key(65537, 2048).public_key()
        pem = other.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()
        both = adapter(alipay_public_keys=(Secret(pem), Secret(KEYS["alipay_public_pem"])))
        assert run(Peer(use=ok()), both.redeem(held())).effected is Effected.DONE
        with pytest.raises(PlatformUnknown):
            run(Peer(use=ok()), adapter(alipay_public_keys=(Secret(pem),)).redeem(held()))


class TestCertificateMode:
    def test_both_certificate_names_are_sent_and_signed(self, authority):
        peer = Peer(use=answer(authority["alipay"]))
        run(peer, certified(authority).redeem(held()))
        parameters = peer.calls[0][2]
        assert parameters["app_cert_sn"] == sn(authority["app"])
        assert parameters["alipay_root_cert_sn"] == f"{sn(authority['root'])}_{sn(authority['middle'])}"

    def test_an_answer_under_a_new_certificate_makes_it_fetched_once(self, authority):
        peer = Peer(
            use=answer(authority["next"]),
            **{DOWNLOAD: envelope(DOWNLOAD, ok(alipay_cert_content=content(authority["next"])))},
        )
        made = certified(authority)
        for _ in range(2):
            assert run(peer, made.redeem(held())).effected is Effected.DONE
        assert peer.methods() == ["use", DOWNLOAD, "use"]
        assert peer.calls[1][1] == {"alipay_cert_sn": sn(authority["next"])}

    @pytest.mark.parametrize("given", ["stranger", "expired", "by_leaf", "alipay"])
    def test_a_downloaded_certificate_that_cannot_be_traced_is_not_believed(self, authority, given):
        """A stranger's, an expired one, one signed by a leaf, and a genuine one that was not asked for."""
        asked = authority["next"] if given == "alipay" else authority[given]
        chain = [authority[given]] + ([authority["app"]] if given == "by_leaf" else [])
        peer = Peer(use=answer(asked), **{DOWNLOAD: envelope(DOWNLOAD, ok(alipay_cert_content=content(*chain)))})
        with pytest.raises(PlatformUnknown) as caught:
            run(peer, certified(authority).redeem(held()))
        assert caught.value.code == "alipay.certificate_untrusted"

    def test_an_intermediate_may_come_with_the_download(self, authority):
        keys = certified(authority, alipay_root_cert=Secret(authority["root"])).gateway.keys
        with pytest.raises(ForgedMessage):
            keys.trust(content(authority["next"]), cert_sn=sn(authority["next"]), at=START)
        keys.trust(content(authority["next"], authority["middle"]), cert_sn=sn(authority["next"]), at=START)
        assert keys.verifiers(sn(authority["next"]), START)

    def test_a_certificate_outside_its_dates_verifies_nothing(self, authority):
        made = certified(authority, alipay_certs=(Secret(authority["expired"]),))
        with pytest.raises(PlatformUnknown) as caught:
            run(Peer(use=answer(authority["expired"])), made.redeem(held()))
        assert caught.value.code == "message.key_not_in_force"
        unnamed = Peer(use=ok(activity_id=ACTIVITY))
        with pytest.raises(PlatformUnknown):
            run(unnamed, made.redeem(held()))

    @pytest.mark.parametrize("junk", ["", "!!", base64.b64encode(b"junk").decode()])
    def test_junk_is_not_a_certificate(self, authority, junk):
        keys = certified(authority).gateway.keys
        with pytest.raises(ForgedMessage):
            keys.trust(junk, cert_sn="0" * 32, at=START)

    def test_a_message_under_a_new_certificate_makes_it_fetched(self, authority):
        fields = {
            "notify_id": "N1",
            "msg_method": "alipay.marketing.activity.message.created",
            "app_id": settings().app_id,
            "biz_content": json.dumps({"id": "I1"}),
        }
        text = "&".join(f"{k}={v}" for k, v in sorted(fields.items()))
        form = {**fields, "sign": alipay_sign(text), "alipay_cert_sn": sn(authority["next"])}
        from urllib.parse import urlencode

        peer = Peer(**{DOWNLOAD: envelope(DOWNLOAD, ok(alipay_cert_content=content(authority["next"])))})
        event = Driver(peer).run(certified(authority).parse_notification((), urlencode(form).encode()))
        assert event.event_id == "I1"
        assert peer.methods() == [DOWNLOAD]


def test_sm2_signs_and_verifies_where_it_is_chosen():
    from unicom_coupon_sdk.crypto import sm2_keys
    from unicom_coupon_sdk.crypto.sm2 import Sm2PrivateKey

    assert sm2_keys
    ours = Sm2PrivateKey.from_hex("1" * 63 + "2")
    theirs = Sm2PrivateKey.from_hex("2" * 63 + "1")
    chosen = settings(sign_type="SM2", alipay_public_keys=(Secret(theirs.public_key.pem.decode()),))
    keys = AlipayKeys.load(chosen, Keys(), signer=AppKey(ours.sign, ours.public_key.der))
    from unicom_coupon_adapters.alipay.gateway import AlipayGateway
    from unicom_coupon_adapters.alipay.messages import Messages
    from unicom_coupon_sdk.platform.wire import HttpAnswer

    node = json.dumps(ok(activity_id=ACTIVITY))
    sign = base64.b64encode(theirs.sign(node.encode())).decode()

    def perform(effect):
        assert "sign_type=SM2" in effect.request.url
        return HttpAnswer(200, (), f'{{"{USE.replace(".", "_")}_response":{node},"sign":"{sign}"}}'.encode())

    gateway = AlipayGateway(chosen, keys)
    assert Driver(perform).run(gateway.send(Messages(chosen).use(held()))).text("activity_id") == ACTIVITY
