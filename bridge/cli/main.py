"""The command `bridge`: its commands, what each may ask for, and errors as one line with a status."""

from __future__ import annotations

import getpass
import gettext
import inspect
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bridge import __version__, failpoints, logs, messages, private_files
from bridge.crypto import with_kept_key
from bridge.errors import BridgeError
from bridge.logs import logger
from bridge.messages import _, ngettext, system_reason
from bridge.redaction import redact
from bridge.settings import Settings

if TYPE_CHECKING:
    from bridge.journal import Journal
    from bridge.journal.audit import Actor


log = logger(__name__)

NO = 1


class Invocation:
    """Settings, journal and actor of one command, each made at its first use."""

    def __init__(self, *, debug: bool) -> None:
        self.debug = debug

    @cached_property
    def settings(self) -> Settings:
        """The environment as settings; raises SettingsError with all of its problems."""
        settings = Settings.from_env(with_kept_key(os.environ))
        private_files.restrict(settings.bridge_data_dir)
        failpoints.arm(settings.bridge_failpoint)
        if settings.bridge_failpoint:
            log.critical(
                "failpoint.armed",
                failpoint=settings.bridge_failpoint,
                mend="this process will kill itself; unset BRIDGE_FAILPOINT unless this is a test",
            )
        return settings

    @cached_property
    def journal(self) -> Journal:
        """The journal of these settings; raises JournalError where it is unreadable or of another schema version."""
        from bridge.runtime import open_journal

        return open_journal(self.settings)

    @cached_property
    def actor(self) -> Actor:
        """The operating system's user, for the audit trail."""
        from bridge.journal.audit import Actor

        try:
            return Actor(f"command {getpass.getuser()}")
        except (KeyError, OSError):  # a user that this machine does not know, as in a container
            return Actor(f"command {os.getuid()}")

    def queue_output(self, notice: Callable[[str], None]) -> None:
        """Let no print and no log record fail or block; `notice` gets a line about those that were lost."""
        language = messages.current_language()

        def report(lost: int) -> None:
            with messages.in_language(language):  # another thread
                notice(
                    ngettext(
                        "{n} line was lost before it was written", "{n} lines were lost before they were written", lost
                    )
                )

        logs.queue_output(report)
        self.configure_logs()

    def configure_logs(self) -> None:
        """Log to standard error: standard output holds the command's answer alone."""
        logs.configure("debug" if self.debug else "error", json=not sys.stderr.isatty(), stream=sys.stderr)

    def close(self) -> None:
        """Close the journal, where it was opened."""
        if "journal" in self.__dict__:
            self.journal.database.close()


class Root(click.Group):
    """A group that prints each error as one line, and whose commands all take -h."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        # A command keeps the help option of the first root that asks for it, so each root sets the names here.
        super().__init__(*arguments, **more, context_settings={"help_option_names": ["-h", "--help"]})

    def main(self, args: Sequence[str] | None = None, *rest: Any, **more: Any) -> Any:
        """Run a command and end the process with its status."""
        arguments = sys.argv[1:] if args is None else list(args)
        messages.use_language(messages.language_of_environment())
        # Click's own texts ("Usage:", "No such option") are in the bridge's catalogue. Click asks the gettext of the
        # standard library, which takes the language from LANGUAGE alone.
        gettext.bindtextdomain(messages.DOMAIN, messages.LOCALES)
        os.environ["LANGUAGE"] = messages.LANGUAGES[messages.current_language()].replace("-", "_")
        translate(self)
        try:
            status = super().main(arguments, *rest, **{**more, "standalone_mode": False})
            sys.exit(status if isinstance(status, int) else 0)
        except click.ClickException as error:
            text, status = _one_line(error), error.exit_code
        except click.Abort:
            text, status = _("stopped; nothing more was done"), NO
        except BridgeError as error:
            text, status = error.text(), error.exit_status
        except Exception as error:
            if "--debug" in arguments:
                raise
            text, status = _refused(error) if isinstance(error, OSError) and error.errno else _fault(error), NO
        click.echo(text, err=True)
        sys.exit(status)


def translate(command: click.Command) -> None:
    """Put the help of a command and of those below it into the current language; the English is the message id."""
    for parameter in command.params:
        if parameter.metavar is None and not isinstance(parameter.type, click.Choice | click.types.BoolParamType):
            is_number = isinstance(parameter.type, click.IntRange | click.FloatRange)
            parameter.metavar = "NUMBER" if is_number else parameter.make_metavar(click.Context(command))
    for part in (command, *command.params):
        english: dict[str, str] = part.__dict__.setdefault("english", {})
        for name in ("help", "short_help", "show_default", "metavar", "options_metavar", "subcommand_metavar"):
            text = english.get(name) or getattr(part, name, None)
            if isinstance(text, str):
                english[name] = inspect.cleandoc(text)
                setattr(part, name, _(english[name]))
    if isinstance(command, click.Group):
        for child in command.commands.values():
            translate(child)


def _one_line(error: click.ClickException) -> str:
    """Return click's message in the bridge's form: lower case, no full stop, and the command of the help."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        return error.message
    text = " ".join(error.format_message().split()).rstrip(".")
    text = text[:1].lower() + text[1:]
    context = error.ctx if isinstance(error, click.UsageError) else None
    return _("{problem}; see: {command} --help", problem=text, command=context.command_path) if context else text


def _refused(error: OSError) -> str:
    parts = (
        _("the system refused it: {reason}", reason=system_reason(error)),
        error.filename,
        _("is there room, and do BRIDGE_DATA_DIR and BRIDGE_MAPPINGS_DIR name places that this user can use?"),
    )
    return "; ".join(str(part) for part in parts if part)


def _fault(error: Exception) -> str:
    """Write the redacted traceback to a file of the data directory and return the line that names the file."""
    what = _("the bridge has a fault ({kind})", kind=type(error).__name__)
    text = "".join(traceback.format_exception(error))
    path = Path(os.environ.get("BRIDGE_DATA_DIR", "").strip() or "./data") / "logs" / "faults.log"
    try:
        private_files.make_directory(path.parent)
        with open(path, "a", encoding="utf-8", errors="backslashreplace", opener=private_files.opener) as file:
            file.write(f"{datetime.now(UTC).isoformat(timespec='seconds')} {redact(text)}\n")
    except OSError:
        return _("{what}; run it again with --debug to see where", what=what)
    return _("{what}; details in {path}; run it again with --debug to see them here", what=what, path=path)


COMMANDS = {
    "demo": "demo:demo",
    "up": "processes:up",
    "web": "processes:web",
    "worker": "processes:worker",
    "sweeper": "processes:sweeper",
    "db": "database:database",
    "mappings": "mappings:mappings",
    "events": "events:events",
    "deliveries": "deliveries:deliveries",
    "accounts": "accounts:accounts",
    "destinations": "accounts:destinations",
    "users": "users:users",
    "forget": "privacy:forget",
    "export": "privacy:export",
    "webhook": "webhook:webhook",
    "notices": "notices:notices",
    "alerts": "alerts:alerts",
    "clint": "clint:clint",
    "doctor": "doctor:doctor",
    "reconcile": "reconcile:reconcile",
    "backfill": "reconcile:backfill",
    "statement": "reconcile:statement",
    "test-charge": "testcharge:test_charge",
    "config": "doctor:config",
}
"""Name -> module of `bridge.cli` and the command in it. Each process imports only its own command's code."""


class Commands(Root):
    """The commands; each is imported at its first use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, name = COMMANDS[cmd_name].split(":")
        command: click.Command = getattr(import_module(f"bridge.cli.{module}"), name)
        translate(command)
        return command


@click.group(cls=Commands)
@click.version_option(__version__, message="%(version)s")
@click.option("--debug", is_flag=True, help="Show log records and, where the bridge itself fails, the traceback.")
@click.pass_context
def cli(context: click.Context, debug: bool) -> None:
    """Bring the charges of an Asaas account into the Clint CRM, in order, once, and explained.

    Settings come from the environment. Exit status: 0 fine, 1 the answer is no, 2 wrong use.
    """
    context.obj = Invocation(debug=debug)
    context.obj.configure_logs()
    context.call_on_close(context.obj.close)
