"""The capability table: what each installed platform can do, from its profile."""

from __future__ import annotations

from datetime import date
from typing import Any

from unicom_coupon_sdk import texts
from unicom_coupon_sdk.cli.app import Json, Lang, app, command
from unicom_coupon_sdk.cli.output import Printer, say
from unicom_coupon_sdk.domain.money import yuan_text
from unicom_coupon_sdk.domain.times import business_date
from unicom_coupon_sdk.platform import registry
from unicom_coupon_sdk.platform.profile import Capability, PlatformProfile
from unicom_coupon_sdk.runtime.clock import SystemClock
from unicom_coupon_sdk.sandbox import contract_results


@app.command()
@command
def adapters(as_json: Json = False, lang: Lang = None) -> None:
    """What each installed platform offers: verbs, proofs, limits, settlement, signing. 平台能力表。"""
    today = business_date(SystemClock().now())
    profiles = [registry.load(name).profile for name in registry.available()]
    printer = Printer(as_json=as_json)
    if as_json:
        printer.json({"ok": True, "platforms": {profile.name: facts(profile, on=today) for profile in profiles}})
        return
    described = [facts(profile, on=today) for profile in profiles]
    rows = [[say(f"adapters.{row}"), *[_words(fact[row]) for fact in described]] for row in (described or [{}])[0]]
    printer.rows(say("adapters.title"), ["", *[profile.name for profile in profiles]], rows)


def facts(profile: PlatformProfile, *, on: date) -> dict[str, Any]:
    """The facts of ``profile`` in force on a Beijing day, in the chosen language."""
    language = texts.current_language()
    return {
        "name": profile.title.in_language(language),
        "coupon_scope": profile.coupon_scope.in_language(language),
        "coupon_kinds": sorted(profile.coupon_kinds),
        "capabilities": [capability.value for capability in Capability if capability in profile.capabilities],
        "methods": [method.value for method in profile.methods],
        "verification": profile.verification.in_language(language),
        "limits": [
            f"{limit.name}: {limit.subject.value}/{limit.window.value}"
            + (f" ≤ ¥{yuan_text(limit.max_fen)}" if limit.max_fen is not None else "")
            + (f" ≤ {limit.max_count}×" if limit.max_count is not None else "")
            for limit in profile.limits_on(on)
        ],
        "settlement": [
            terms.cycle.value + (f" ({terms.contract})" if terms.contract else "")
            for terms in profile.settlement
            if terms.in_force(on)
        ],
        "signing": list(profile.signing),
        "hosts": list(profile.hosts),
        "experimental": profile.experimental,
        "contract": _contract(profile.name),
    }


def _contract(platform: str) -> list[str]:
    """How the adapter fared in the contract suite, and which cases it has no part in."""
    results = contract_results.shipped(platform)
    left_out = [f"{case}: {why}" for case, why in results.items() if why not in {"passed", "failed"}]
    passed = sum(why == "passed" for why in results.values())
    return [say("adapters.contract_passed", passed=passed, cases=len(results) - len(left_out)), *left_out]


def _words(value: Any) -> str:
    if isinstance(value, bool):
        return say("cli.yes" if value else "cli.no")
    return "\n".join(value) if isinstance(value, list) else str(value)
