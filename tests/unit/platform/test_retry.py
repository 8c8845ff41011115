import pytest
from tenacity import stop_after_attempt, stop_after_delay, wait_fixed
from tests.driving import Driver

from unicom_coupon_sdk.errors import PlatformRefused, PlatformUnavailable, PlatformUnknown
from unicom_coupon_sdk.platform.effects import Now
from unicom_coupon_sdk.platform.retry import GENTLE, NEVER, RetryPolicy, repeating


def failing(*errors):
    """An attempt that fails as listed, then succeeds with the number of the attempt."""
    left = list(errors)

    def attempt(number):
        yield from Now()
        if left:
            raise left.pop(0)
        return number

    return attempt


def test_what_was_not_done_is_tried_again():
    driver = Driver()
    assert driver.run(repeating(failing(PlatformUnavailable(), PlatformUnavailable()), GENTLE)) == 2
    assert driver.slept == [0.5, 1.0]


def test_a_refusal_is_final():
    driver = Driver()
    with pytest.raises(PlatformRefused):
        driver.run(repeating(failing(PlatformRefused()), GENTLE))
    assert driver.slept == []


def test_an_unknown_outcome_is_not_repeated_unless_the_policy_says_so():
    policy = RetryPolicy(stop=stop_after_attempt(3), wait=wait_fixed(1))
    with pytest.raises(PlatformUnknown):
        Driver().run(repeating(failing(PlatformUnknown()), policy))
    assert Driver().run(repeating(failing(PlatformUnknown()), GENTLE)) == 1


def test_once_unknown_a_later_not_done_does_not_make_it_certain():
    with pytest.raises(PlatformUnknown):
        Driver().run(repeating(failing(PlatformUnknown(), PlatformRefused()), GENTLE))
    with pytest.raises(PlatformUnknown):
        Driver().run(repeating(failing(PlatformUnknown(), PlatformUnavailable(), PlatformUnavailable()), GENTLE))


def test_one_attempt_means_one_attempt():
    with pytest.raises(PlatformUnavailable):
        Driver().run(repeating(failing(PlatformUnavailable()), NEVER))


def test_the_platforms_own_wait_is_kept():
    driver = Driver()
    driver.run(repeating(failing(PlatformUnavailable(retry_after_s=7)), GENTLE))
    assert driver.slept == [7]


def test_a_deadline_is_measured_on_the_flows_own_clock():
    policy = RetryPolicy(stop=stop_after_delay(10), wait=wait_fixed(4))
    driver = Driver()
    with pytest.raises(PlatformUnavailable):
        driver.run(repeating(failing(*[PlatformUnavailable() for _ in range(9)]), policy))
    assert driver.slept == [4, 4, 4]
