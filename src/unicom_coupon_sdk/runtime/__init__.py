"""The only code that does I/O for a flow: two runtimes, HTTP, frames, the clock and ids."""

from unicom_coupon_sdk.runtime.asynchronous import AsyncRuntime
from unicom_coupon_sdk.runtime.blocking import BlockingRuntime
from unicom_coupon_sdk.runtime.clock import Clock, FollowedClock, OffsetClock, SystemClock
from unicom_coupon_sdk.runtime.http import AsyncHttp, BlockingHttp
from unicom_coupon_sdk.runtime.ids import Ulids
from unicom_coupon_sdk.runtime.transport import AsyncTransport, BlockingTransport, Inline

__all__ = [
    "AsyncHttp",
    "AsyncRuntime",
    "AsyncTransport",
    "BlockingHttp",
    "BlockingRuntime",
    "BlockingTransport",
    "Clock",
    "FollowedClock",
    "Inline",
    "OffsetClock",
    "SystemClock",
    "Ulids",
]
