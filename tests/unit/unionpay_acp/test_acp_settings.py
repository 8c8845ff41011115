"""What goes wrong in the ``acp`` section: each is found at load, names the setting and says what to do."""

from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import pkcs12
from tests.unit.unionpay_acp.conftest import PLATFORM

from unicom_coupon_adapters.unionpay_pos import UnionPayPosAdapter, UnionPayPosSettings
from unicom_coupon_adapters.unionpay_pos.acp.credentials import AcpKeys
from unicom_coupon_adapters.unionpay_pos.acp.doctor import EXPIRY_WARNING
from unicom_coupon_sdk.client import CouponClient
from unicom_coupon_sdk.crypto.providers import Keys
from unicom_coupon_sdk.domain.order import Order
from unicom_coupon_sdk.domain.sensitive import Secret
from unicom_coupon_sdk.errors import ComplianceError, ConfigurationError, CouponError, UnsupportedOperation
from unicom_coupon_sdk.platform.adapter import CheckState
from unicom_coupon_sdk.platform.profile import Capability
from unicom_coupon_sdk.sandbox import Sandbox


def section(counter, **changes):
    acp = {**counter.sandbox.settings().platforms["unionpay_pos"]["acp"], **changes}
    return {"merchant_no": "999290054110001", "acp": {name: value for name, value in acp.items() if value is not None}}


def adapter(counter, **changes):
    return UnionPayPosAdapter(UnionPayPosSettings.parse(section(counter, **changes)), Keys())


def refusal(counter, *, field, **changes):
    with pytest.raises(CouponError) as refused:
        adapter(counter, **changes)
    assert refused.value.field is not None
    assert refused.value.field.endswith(field), refused.value.field
    for language in ("zh", "en"):
        told = refused.value.diagnostics(language)
        assert told.remedy
        assert told.message != refused.value.code
    return refused.value.code


@pytest.fixture
def files(counter, tmp_path):
    """The sandbox's files, and the merchant's key and certificate in PEM."""
    told = counter.sandbox.credentials(PLATFORM)
    key, certificate, _ = pkcs12.load_key_and_certificates(
        Path(told["signing_pfx_file"]).read_bytes(), told["signing_pfx_password"].encode()
    )
    pem = serialization.Encoding.PEM
    (tmp_path / "key.pem").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    (tmp_path / "cert.pem").write_bytes(certificate.public_bytes(pem))
    return {
        "key": f"file:{tmp_path / 'key.pem'}",
        "cert": f"file:{tmp_path / 'cert.pem'}",
        "root": f"file:{told['root_cert_file']}",
        "middle": f"file:{told['middle_cert_file']}",
        "enc": f"file:{told['enc_cert_file']}",
        "pfx": f"file:{told['signing_pfx_file']}",
    }


NO_PFX = {"signing_pfx": None, "signing_pfx_password": None}


def test_the_key_may_come_in_pem(counter, files):
    pem = adapter(counter, **NO_PFX, signing_key=files["key"], signing_cert=files["cert"])
    assert AcpKeys.load(pem.acp.settings, Keys()).own == counter.acp.gateway.keys.own


def test_the_wrong_password_of_the_pfx(counter):
    assert refusal(counter, field="signing_pfx", signing_pfx_password=Secret("000001")) == "key.password"


def test_pem_where_the_pfx_belongs(counter, files):
    assert refusal(counter, field="signing_pfx", signing_pfx=files["key"]) == "key.not_pkcs12"
    assert refusal(counter, field="signing_pfx", signing_pfx=files["cert"]) == "key.not_pkcs12"


def test_certificate_and_key_exchanged(counter, files):
    assert (
        refusal(counter, field="signing_key", **NO_PFX, signing_key=files["cert"], signing_cert=files["cert"])
        == "key.is_certificate"
    )
    assert (
        refusal(counter, field="signing_cert", **NO_PFX, signing_key=files["key"], signing_cert=files["key"])
        == "key.not_certificate"
    )


def test_key_and_certificate_of_two_merchants(counter, files):
    wish = {**NO_PFX, "signing_key": files["key"], "signing_cert": files["root"]}
    assert refusal(counter, field="merchant_certificate", **wish) == "unionpay_pos.acp_key_pair"


@pytest.mark.parametrize(
    "changes",
    [
        {"signing_pfx_password": None},
        {"signing_pfx": None},
        NO_PFX,
        {"signing_key": "file:k"},
        {"signing_key": "file:k", "signing_cert": "file:c"},
        {**NO_PFX, "signing_key": "file:k"},
    ],
)
def test_a_signing_key_that_is_not_named_or_named_twice(counter, changes):
    assert refusal(counter, field="signing_pfx", **changes) == "unionpay_pos.acp_signing_key"


def test_root_and_middle_exchanged(counter, files):
    changes = {"root_certs": [files["middle"]], "middle_certs": [files["root"]]}
    assert refusal(counter, field="middle_certs", **changes) == "unionpay_pos.acp_chain"


def test_our_own_certificate_in_the_place_of_unionpays(counter, files):
    assert refusal(counter, field="middle_certs", middle_certs=[files["cert"]]) == "unionpay_pos.acp_chain"


def test_a_key_where_unionpays_certificate_belongs(counter, files):
    assert refusal(counter, field="root_certs", root_certs=[files["key"]]) == "key.not_certificate"
    assert refusal(counter, field="encryption_cert", encryption_cert=files["key"]) == "key.not_certificate"


def test_a_file_that_is_not_there(counter):
    assert refusal(counter, field="signing_pfx", signing_pfx="file:/nowhere/sign.pfx") == "key.file_missing"


def test_a_password_written_into_the_settings_is_refused_and_not_shown(counter):
    with pytest.raises(CouponError) as refused:
        adapter(counter, signing_pfx_password="canary00")
    assert refused.value.code == "key.reference"
    assert "canary00" not in f"{refused.value} {refused.value.diagnostics('en')}"


@pytest.mark.parametrize("name", ["gateway_url", "file_url"])
def test_plain_http_beyond_this_machine(counter, name):
    assert refusal(counter, field=name, **{name: "http://gateway.example"}) == "unionpay_pos.acp_url"
    assert adapter(counter, **{name: "http://127.0.0.1:8704"}).acp.settings.hosts


@pytest.mark.parametrize("mer_id", ["77729005811004", "7772900581100488", ""])
def test_a_merchant_number_of_another_length(counter, mer_id):
    assert refusal(counter, field="acp.mer_id", mer_id=mer_id) == "request.invalid"


def test_neither_terminals_nor_the_gateway():
    for facts in ({}, {"terminals": {}}):
        with pytest.raises(CouponError) as refused:
            UnionPayPosSettings.parse({"merchant_no": "999290054110001", **facts})
        assert (refused.value.code, refused.value.field) == ("unionpay_pos.terminals_missing", "terminals")


def test_a_host_needs_its_terminals_whatever_else_it_has(counter):
    with pytest.raises(CouponError, match=r"unionpay_pos\.terminals_missing"):
        UnionPayPosSettings.parse({**section(counter), "role": "host"})


def test_without_the_section_there_is_no_gateway_and_no_news():
    with Sandbox(platforms=["unionpay_pos"]) as sandbox, sandbox.client() as client:
        pos = client.setting.adapter("unionpay_pos")
        with pytest.raises(ConfigurationError, match=r"unionpay_pos\.acp_not_set"):
            _ = pos.acp
        assert Capability.NOTIFY not in pos.profile.capabilities
        with pytest.raises(UnsupportedOperation):
            client.receive("unionpay_pos", headers={}, body=b"")
        with pytest.raises(UnsupportedOperation):
            client.acknowledge("unionpay_pos")


def test_with_it_alone_there_are_no_terminals_to_redeem_at(counter):
    only = adapter(counter)
    assert only.profile.hosts == ("unionpay-acp.sandbox.invalid",)
    assert only.profile.capabilities == {Capability.NOTIFY, Capability.FETCH_BILL}
    with pytest.raises(ComplianceError, match=r"unionpay_pos\.terminal_unknown"):
        only.terminal(Order(order_no="A1", amount_fen=1).terminal_no)


def test_terminals_and_gateway_stand_in_one_section():
    with Sandbox(platforms=["unionpay_pos", PLATFORM]) as sandbox, sandbox.client() as client:
        both = client.setting.adapter("unionpay_pos")
        assert len(both.terminals) == 33
        assert both.acp.settings.mer_id == sandbox.credentials(PLATFORM)["mer_id"]
        codes = [finding.code for finding in client.diagnose("unionpay_pos")]
        assert "unionpay_pos.check_line" in codes
        assert codes[-1] == "unionpay_pos.check_acp_round_trip"


# --- the doctor ---


def findings(counter, **changes):
    settings = counter.sandbox.settings().replaced(platforms={"unionpay_pos": section(counter, **changes)})
    sandbox = counter.sandbox
    with CouponClient(settings, transport=sandbox.transport(), clock=sandbox.clock) as client:
        found = client.diagnose("unionpay_pos")
    return [(finding.code.removeprefix("unionpay_pos.check_acp_"), finding.state, finding.details) for finding in found]


def states(counter, **changes):
    return {(name, details.get("field", "")): state for name, state, details in findings(counter, **changes)}


def test_the_doctor_finds_a_good_gateway_good(counter, files):
    found = states(counter, encryption_cert=files["enc"], back_url="https://shop.example/notify")
    assert set(found.values()) == {CheckState.OK}
    dated = {"acp.signing_cert", "acp.root_certs", "acp.middle_certs", "acp.encryption_cert"}
    assert {field for name, field in found if name == "dates"} == dated


def test_the_doctor_warns_of_what_is_about_to_end_and_fails_what_has(counter):
    last = counter.acp.gateway.keys.own.not_after
    counter.sandbox.control.set_clock(last - EXPIRY_WARNING + timedelta(hours=1))
    assert states(counter)["dates", "acp.signing_cert"] is CheckState.WARN
    counter.sandbox.control.set_clock(last + timedelta(days=1))
    found = {(name, details.get("field", "")): (state, details) for name, state, details in findings(counter)}
    assert found["dates", "acp.signing_cert"][0] is CheckState.FAIL
    assert found["round_trip", ""] == (CheckState.FAIL, {"error": "unionpay_pos.acp_expired"})


def test_the_doctor_warns_of_test_names_open_files_and_plain_notices(counter, files, tmp_path):
    pfx = tmp_path / "sign.pfx"
    pfx.write_bytes(Path(files["pfx"].removeprefix("file:")).read_bytes())
    pfx.chmod(0o644)
    wish = {"accept_test_names": True, "back_url": "http://shop.example/notify", "signing_pfx": f"file:{pfx}"}
    found = states(counter, **wish)
    assert found["names", ""] is CheckState.WARN
    assert found["key_file", "acp.signing_pfx"] is CheckState.WARN
    assert found["notices", "acp.back_url"] is CheckState.WARN
    assert states(counter)["notices", "acp.back_url"] is CheckState.SKIP


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"kind": "bad_signature"}, "unionpay_pos.acp_signature"),
        ({"kind": "wrong_serial"}, "unionpay_pos.acp_certificate_name"),
        ({"kind": "drop_before"}, "platform.no_answer"),
        ({"kind": "error", "code": "11"}, "11"),
        ({"kind": "error", "code": "00"}, "00"),
    ],
)
def test_the_doctor_names_what_the_round_trip_met(counter, fault, error):
    counter.fault(**fault)
    name, state, details = findings(counter)[-1]
    assert (name, state, details["error"]) == ("round_trip", CheckState.FAIL, error)
