"""A sample of seeded worlds; the whole run is ``python -m unicom_coupon_sdk.sandbox.simulation``."""

import subprocess
import sys

import pytest

from unicom_coupon_sdk.platform import registry
from unicom_coupon_sdk.sandbox.simulation import Broken, World
from unicom_coupon_sdk.sandbox.simulation.__main__ import main, run_seed
from unicom_coupon_sdk.sandbox.simulation.invariants import Answers

PLATFORMS = tuple(registry.available())


@pytest.mark.parametrize("seed", range(40))
def test_a_world_holds(seed, tmp_path):
    assert run_seed(seed, platforms=PLATFORMS, directory=tmp_path) is None


def test_the_same_seed_is_the_same_world(tmp_path):
    emulators = {name: registry.load(name).emulator() for name in PLATFORMS}
    first, again = (World(11, platforms=emulators, directory=tmp_path).run() for _ in range(2))
    assert first == again
    assert first.requests > 0


def test_worlds_are_different_and_things_go_wrong_in_them(tmp_path):
    emulators = {name: registry.load(name).emulator() for name in PLATFORMS}
    told = [World(seed, platforms=emulators, directory=tmp_path).run() for seed in range(12)]
    assert sum(world.redeemed for world in told)
    assert sum(world.reversed for world in told)
    assert sum(world.refused for world in told)
    assert sum(world.crashed for world in told)


def test_a_broken_world_prints_the_command_that_repeats_it(tmp_path, monkeypatch, capsys):
    def broken(self):
        raise Broken("on purpose")

    monkeypatch.setattr(World, "settle", broken)
    assert main(["--seeds", "3", "--platform", PLATFORMS[0]]) == 1
    said = capsys.readouterr().out
    assert f"python -m unicom_coupon_sdk.sandbox.simulation --seeds 3 --platform {PLATFORMS[0]}" in said


def test_the_command_runs_as_a_module():
    command = [sys.executable, "-m", "unicom_coupon_sdk.sandbox.simulation", "--seeds", "0-1", "--processes", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("2 worlds, 0 broken")


class TestOneKeyOneAnswer:
    def redemption(self, **changes):
        import dataclasses

        from tests.redemptions import redemption

        return dataclasses.replace(redemption(), **changes)

    def test_another_redemption_for_one_key_is_noticed(self):
        answers = Answers()
        answers.note(self.redemption(redemption_id="R1"))
        with pytest.raises(Broken):
            answers.note(self.redemption(redemption_id="R2"))

    def test_what_was_done_and_is_released_is_noticed(self):
        from unicom_coupon_sdk import OperationState

        answers = Answers()
        answers.note(self.redemption(state=OperationState.DONE))
        with pytest.raises(Broken):
            answers.note(self.redemption(state=OperationState.RELEASED))
