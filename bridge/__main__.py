"""`bridge` and `python -m bridge`: hands over to the commands."""

from __future__ import annotations

from bridge import collector, spared

collector.start()
spared.start()

from bridge.cli.entry import cli  # noqa: E402


def main() -> None:
    """Run the command that the arguments name and leave with its status."""
    cli.main(prog_name="bridge")


if __name__ == "__main__":
    main()
