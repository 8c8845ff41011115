"""The ``unicom-coupon`` command."""


def main() -> None:
    """Run the command and exit with its code (see ``output.ExitCode``)."""
    from unicom_coupon_sdk.cli.app import run

    run()
