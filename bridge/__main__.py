"""`bridge` and `python -m bridge`: hands over to the commands."""

from __future__ import annotations

from bridge.cli.main import cli


def main() -> None:
    """Run the command that the arguments name and leave with its status."""
    cli.main(prog_name="bridge")


if __name__ == "__main__":
    main()
