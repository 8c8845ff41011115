"""Fixtures for integrators' tests: ``coupon_sandbox``, ``coupon_client``, ``async_coupon_client``.

The sandbox's keys are made once a run, since that takes a moment; each test finds it empty, with a ledger of its own.
Nothing of the package is imported before a test asks for a fixture.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from unicom_coupon_sdk.client import AsyncCouponClient, CouponClient
    from unicom_coupon_sdk.sandbox.inprocess import Sandbox


def pytest_addoption(parser: pytest.Parser) -> None:
    """Where to write what came of the contract suite."""
    parser.addoption("--contract-results", metavar="DIR", help="write the contract suite's results, a file a platform")


def pytest_configure(config: pytest.Config) -> None:
    """Gather the contract suite's results when asked to; under xdist in the controller alone."""
    folder = config.getoption("--contract-results")
    if folder and not hasattr(config, "workerinput"):
        from unicom_coupon_sdk.sandbox.contract_results import ContractResults

        config.pluginmanager.register(ContractResults(Path(folder)))


@pytest.fixture(scope="session")
def _coupon_sandbox_of_the_run() -> Iterator[Sandbox]:
    from unicom_coupon_sdk.sandbox.inprocess import Sandbox

    with Sandbox(seed=7) as sandbox:
        yield sandbox


@pytest.fixture
def coupon_sandbox(_coupon_sandbox_of_the_run: Sandbox) -> Sandbox:
    """An empty in-process sandbox with every installed platform."""
    sandbox = _coupon_sandbox_of_the_run
    sandbox.reset()
    sandbox.merchant = None
    return sandbox


@pytest.fixture
def coupon_client(coupon_sandbox: Sandbox) -> Iterator[CouponClient]:
    """A blocking client of ``coupon_sandbox``."""
    with coupon_sandbox.client() as client:
        yield client


@pytest.fixture
def async_coupon_client(coupon_sandbox: Sandbox) -> Iterator[AsyncCouponClient]:
    """An asyncio client of ``coupon_sandbox``, usable in whatever event loop the test brings."""
    client = coupon_sandbox.async_client()
    yield client
    asyncio.run(client.close())
