"""Each rule of the audit finds the ledger that breaks it, and a ledger that only the verbs touched breaks none."""

import pytest
from sqlalchemy import text
from tests.ledger_house import DAY, DONE, MERCHANT, NOT_DONE, NOW, PAY, UNKNOWN, day_limit, template

from unicom_coupon_sdk.domain.coupon import Funding
from unicom_coupon_sdk.ledger import append_only
from unicom_coupon_sdk.ledger.audit import RULES

BREAKS = [
    ("one_live_redemption", "UPDATE redemption SET state = 'done' WHERE redemption_id = :released"),
    ("held_coupon", "UPDATE coupon SET state = 'available' WHERE coupon_id = :held_coupon"),
    ("held_coupon", "UPDATE coupon SET state = 'held' WHERE coupon_id = :free_coupon"),
    ("held_coupon", "UPDATE redemption SET state = 'released' WHERE redemption_id = :held"),
    ("redeemed_coupon", "UPDATE coupon SET state = 'available' WHERE coupon_id = :done_coupon"),
    ("redeemed_coupon", "UPDATE redemption SET state = 'released' WHERE redemption_id = :done"),
    ("reversing_coupon", "UPDATE coupon SET state = 'available' WHERE coupon_id = :reversing_coupon"),
    ("reversing_coupon", "UPDATE reversal SET state = 'released' WHERE redemption_id = :reversing"),
    ("reversing_coupon", "DELETE FROM reversal WHERE redemption_id = :reversing"),
    ("event_versions", "DELETE FROM outbox WHERE coupon_id = :done_coupon AND version = 2"),
    ("event_versions", "DELETE FROM outbox WHERE coupon_id = :done_coupon"),
    ("event_versions", "UPDATE coupon SET version = version + 1 WHERE coupon_id = :free_coupon"),
    ("event_path", "UPDATE outbox SET kind = 'coupon.bound' WHERE coupon_id = :done_coupon AND version = 3"),
    ("event_path", "UPDATE outbox SET kind = 'coupon.issued' WHERE coupon_id = :done_coupon AND version = 2"),
    ("event_path", "UPDATE outbox SET kind = 'coupon.bound' WHERE coupon_id = :done_coupon AND version = 1"),
    ("event_path", "UPDATE outbox SET kind = 'coupon.unknown' WHERE coupon_id = :done_coupon AND version = 2"),
    ("event_path", "UPDATE coupon SET state = 'void' WHERE coupon_id = :free_coupon"),
    ("event_record", "UPDATE outbox SET operation_id = NULL WHERE coupon_id = :done_coupon AND version = 4"),
    ("event_record", "UPDATE outbox SET operation_id = :released WHERE coupon_id = :done_coupon AND version = 4"),
    ("no_step_back", "UPDATE redemption SET state = 'reversed' WHERE redemption_id = :done"),
    ("no_step_back", "DELETE FROM reversal WHERE redemption_id = :reversed"),
    ("no_step_back", "UPDATE redemption SET state = 'released' WHERE redemption_id = :reversed"),
    ("conclusions", "DELETE FROM conclusion WHERE operation_id = :done"),
    ("conclusions", "UPDATE conclusion SET to_state = 'released' WHERE operation_id = :done"),
    ("conclusions", "UPDATE redemption SET conclusions = 2 WHERE redemption_id = :done"),
    ("conclusions", "UPDATE redemption SET conclusions = 1 WHERE redemption_id = :held"),
    ("conclusions", "UPDATE reversal SET conclusions = 0 WHERE redemption_id = :reversed"),
    ("entries_balance", "UPDATE posting SET amount_fen = amount_fen + 1 WHERE entry_id = :done AND line = 1"),
    ("entries_balance", "DELETE FROM posting WHERE entry_id = :done AND line = 1"),
    ("entry_of_redemption", "UPDATE redemption SET state = 'released' WHERE redemption_id = :done"),
    ("entry_of_redemption", "UPDATE entry SET entry_id = 'moved' WHERE entry_id = :done"),
    ("entry_of_reversal", "UPDATE posting SET account = 'other' WHERE entry_id = :reversal AND line = 1"),
    ("entry_of_reversal", "UPDATE entry SET reverses = NULL WHERE reverses = :reversed"),
    ("liability_of_coupons", "UPDATE posting SET account = 'points_liability' WHERE entry_id = :done AND line = 1"),
    ("liability_of_coupons", "UPDATE coupon SET state = 'redeemed' WHERE coupon_id = :sold_coupon"),
    ("entry_of_share", "UPDATE share_line SET state = 'released' WHERE share_id = :share AND number = 1"),
    ("entry_of_share", "UPDATE share_line SET state = 'done' WHERE share_id = :share AND number = 2"),
    ("entry_of_share", "DELETE FROM posting WHERE entry_id = :line; DELETE FROM entry WHERE entry_id = :line"),
    ("return_of_share", "DELETE FROM share_return WHERE share_id = :share_back"),
    ("return_of_share", "UPDATE share_return SET share_id = :share, number = 1 WHERE share_id = :share_back"),
    ("settlement_total", "UPDATE settlement SET value_fen = value_fen + 1 WHERE settlement_id = :settlement"),
    ("settlement_total", "DELETE FROM settlement_item WHERE operation_id = :settled"),
    ("settlement_shown", "UPDATE settlement_item SET matched_at = NULL WHERE operation_id = :settled"),
    ("settlement_shown", "UPDATE settlement SET settled_at = NULL WHERE settlement_id = :settlement"),
    ("counters_equal", "UPDATE counter SET used_fen = used_fen - 1"),
    ("counters_equal", "UPDATE counter SET used_count = used_count + 1"),
    ("released_consumption", "UPDATE consumption SET given_back_at = NULL WHERE redemption_id = :released"),
    ("released_consumption", "UPDATE consumption SET given_back_at = 1 WHERE redemption_id = :done"),
    ("issued_total", "UPDATE template SET issued = issued + 1"),
    (
        "issued_total",
        "DELETE FROM outbox WHERE coupon_id = :unbound_coupon; DELETE FROM coupon WHERE coupon_id = :unbound_coupon",
    ),
    ("holder_total", "UPDATE holder_count SET bound = bound + 1"),
    ("holder_total", "UPDATE coupon SET holder_index = NULL WHERE coupon_id = :free_coupon"),
]


def populate(house):
    """Something of everything; the names of what the breaks need."""
    names = {"unbound_coupon": house.listed(key="unbound", seed=200).coupons[0].coupon_id}
    coupons = {}
    for number, state in enumerate(("free", "held", "done", "reversing", "reversed", "unknown", "expired", "void")):
        coupons[state] = house.bound()
        names[f"{state}_coupon"] = coupons[state].coupon_id
        if state not in ("free", "expired", "void"):
            key, limits = f"order-{number}", [day_limit(500), day_limit(500, window="2026-05")]
            names[state] = house.hold(coupons[state], key=key, consumptions=limits).held
    for state in ("done", "reversing", "reversed"):
        house.conclude(names[state], DONE)
    house.conclude(names["unknown"], UNKNOWN)
    released = house.hold(coupons["free"], key="order-9", consumptions=[day_limit(500)]).held
    house.conclude(released, NOT_DONE)
    house.reverse(names["reversing"].redemption, key="reverse-0", outcome=NOT_DONE)
    house.hold_reversal(names["reversing"].redemption, key="reverse-1")
    names["reversal"] = house.reverse(names["reversed"].redemption, key="reverse-2").reversal_id
    house.run(house.ledger.void(names["void_coupon"], now=NOW))
    _clear(house, names)
    with house.engine.begin() as connection:
        connection.execute(
            text("UPDATE coupon SET valid_until = 1 WHERE coupon_id = :one"), {"one": names["expired_coupon"]}
        )
    house.run(house.ledger.expire(NOW, limit=9))
    names["released"] = released
    return {name: getattr(getattr(found, "redemption", None), "redemption_id", found) for name, found in names.items()}


def _clear(house, names):
    """A share, one that is fetched back, a settlement that came, and coupons that somebody paid for."""
    names["sold_coupon"] = house.bound(of=template(template_id="T2", funding=Funding.POINTS)).coupon_id
    names["share"] = house.share(house.redeem(house.bound(), key="shared")).share_id
    names["line"] = f"{names['share']}.1"
    back = house.redeem(house.bound(), key="shared-back")
    names["share_back"] = house.share(back, key="share-2").share_id
    house.reverse(back, key="reverse-3")
    held = house.hold(house.bound(), key="settled").held
    names["settled"] = house.conclude(held, settles_on=NOW.date())
    settlement = house.settle(NOW.date())
    names["settlement"] = settlement.settlement_id
    house.run(house.ledger.match_items([names["settled"].redemption_id], by="bill", now=NOW))
    (settled,) = house.run(house.ledger.finish_settlements(MERCHANT, PAY, now=NOW))
    assert settled.settlement_id == names["settlement"]
    names["settled"] = names["settled"].redemption_id


def unguard(connection):
    """Takes away what keeps the database from being broken: triggers, keys, checks."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SET LOCAL session_replication_role = replica"))
    else:
        connection.execute(text("PRAGMA defer_foreign_keys = ON"))
        connection.execute(text("PRAGMA ignore_check_constraints = ON"))
        for table in append_only.TABLES:
            for change in ("update", "delete"):
                connection.execute(text(f"DROP TRIGGER {table}_no_{change}"))
    connection.execute(text("DROP INDEX uq_redemption_live"))


def test_a_ledger_that_only_the_verbs_touched_breaks_no_rule(house):
    populate(house)
    assert house.audit() == ()
    house.now = NOW + 31 * DAY
    house.run(house.ledger.expire(house.now, limit=99))
    assert house.audit() == ()


@pytest.mark.parametrize(("rule", "statement"), BREAKS, ids=[f"{rule}-{n}" for n, (rule, _) in enumerate(BREAKS)])
def test_a_broken_ledger_is_found_out(house, rule, statement):
    names = populate(house)
    with house.engine.connect() as connection:
        if connection.dialect.name == "sqlite":
            connection.connection.dbapi_connection.execute("PRAGMA foreign_keys = OFF")
        with connection.begin():
            unguard(connection)
            if rule == "one_live_redemption":  # the released redemption of a coupon that another one now has
                connection.execute(
                    text("UPDATE redemption SET coupon_id = :done_coupon WHERE redemption_id = :released"), names
                )
            for part in statement.split(";"):
                assert connection.execute(text(part), names).rowcount > 0
    assert rule in {violation.rule for violation in house.audit()}


def test_every_rule_has_a_ledger_that_breaks_it():
    assert {rule for rule, _ in BREAKS} == set(RULES)


def test_a_violation_names_a_row_and_never_a_code(house):
    names = populate(house)
    codes = [house.run(house.ledger.coupon(names["free_coupon"])).code.reveal()]
    with house.engine.begin() as connection:
        connection.execute(text("UPDATE coupon SET state = 'void' WHERE coupon_id = :free_coupon"), names)
    (found,) = house.audit()
    assert (found.rule, found.subject) == ("event_path", names["free_coupon"])
    assert codes[0] not in repr(found)
