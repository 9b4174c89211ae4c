"""The program `bridge`, also as `python -m bridge`."""

from __future__ import annotations

from bridge.cli.main import cli


def main() -> None:
    """Run the command of the arguments and exit with its status."""
    cli.main(prog_name="bridge")


if __name__ == "__main__":
    main()
