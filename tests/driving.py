"""Drive a flow by hand: each effect is answered by the test, so no clock runs and nothing is sent."""

from datetime import UTC, datetime, timedelta

from unicom_coupon_sdk.platform.effects import NewId, Now, RandomBytes, Sleep

START = datetime(2026, 5, 20, 5, 29, 35, tzinfo=UTC)


class Driver:
    """Answers Now, Sleep, NewId and RandomBytes itself; all other effects go to ``perform``."""

    def __init__(self, perform=None, *, now=START):
        self.now = now
        self.perform = perform
        self.slept = []
        self.effects = []
        self._ids = 0

    def run(self, flow):
        try:
            effect = flow.send(None)
            while True:
                self.effects.append(effect)
                try:
                    result = self._answer(effect)
                except Exception as error:
                    effect = flow.throw(error)
                else:
                    effect = flow.send(result)
        except StopIteration as done:
            return done.value

    def _answer(self, effect):
        match effect:
            case Now():
                return self.now
            case Sleep(seconds=seconds):
                self.slept.append(seconds)
                self.now += timedelta(seconds=seconds)
                return None
            case NewId():
                self._ids += 1
                return f"01TEST{self._ids:020d}"
            case RandomBytes(count=count):
                return bytes((self._ids + n) % 256 for n in range(count))
            case _:
                return self.perform(effect)
