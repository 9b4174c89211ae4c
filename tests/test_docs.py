"""The documents say what the code does: examples run, a planted lie is found. `make lint` checks generated parts."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import click
import pytest

from bridge.cli.main import cli
from bridge.settings import SETTINGS
from docs.tables import command_reference, command_table, commands, error_table, reason_table, settings_table
from tests.documents import Fence, command_faults, fences, link_faults, mapping_faults
from tests.test_errors import ERRORS

ROOT = Path(__file__).parents[1]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
MARKDOWN = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("mappings/*.md")])
NAMES = [path.relative_to(ROOT).as_posix() for path in MARKDOWN]


def read(name: str) -> str:
    """Return the text of a document."""
    return (ROOT / name).read_text(encoding="utf-8")


def test_every_document_with_a_marker_is_checked() -> None:
    """A generated part in a file that `make docs` does not know would go stale unseen."""
    every = [path.relative_to(ROOT) for path in ROOT.rglob("*.md") if "[[[cog" in path.read_text(encoding="utf-8")]
    ours = {path.as_posix() for path in every if not path.parts[0].startswith((".", "build", "data"))}

    assert ours <= set(NAMES)


def test_every_setting_is_documented() -> None:
    """Each setting is a row of docs/settings.md, with its default, and nothing else is."""
    rows = re.findall(r"^\| `([A-Z_]+)`(?:, `[A-Z_]+`)? \| .* \| (.*) \|$", read("docs/settings.md"), re.MULTILINE)

    assert rows == [(setting.name, f"`{setting.default}`" if setting.default else "none") for setting in SETTINGS]
    assert settings_table() in read("docs/settings.md")


def test_the_example_environment_has_every_setting() -> None:
    """`.env.example` has each setting once, and sets none."""
    text = read(".env.example")

    assert re.findall(r"^#([A-Z_]+)=", text, re.MULTILINE) == [setting.name for setting in SETTINGS]
    assert [line for line in text.splitlines() if line and not line.startswith("#")] == []


def test_the_example_environment_is_read_by_a_shell() -> None:
    """With every comment taken away a shell reads the file, and the key keeps its `$`."""
    text = "\n".join(
        line.removeprefix("#") for line in read(".env.example").splitlines() if re.match("#[A-Z_]+=", line)
    )
    told = subprocess.run(
        ["sh", "-c", text + '\nprintf %s "$ASAAS_API_KEY"'], capture_output=True, text=True, check=True
    )

    assert told.stdout == "$aact_hmlg_..."


def test_every_command_is_documented() -> None:
    """docs/commands.md lists each command and has its whole help."""
    assert command_table(cli) in read("docs/commands.md")
    assert command_reference(cli) in read("docs/commands.md")


@pytest.mark.parametrize("context", list(commands(cli)), ids=lambda context: context.command_path)
def test_every_command_and_option_has_help(context: click.Context) -> None:
    """No command is without a sentence, no option without a word about what it does."""
    assert context.command.help
    assert not context.command.get_short_help_str(limit=120).endswith("...")
    assert [o.name for o in context.command.params if isinstance(o, click.Option) and not o.help] == []


def test_every_error_code_is_documented() -> None:
    """docs/errors.md has each error and each reason with its sentence."""
    page = read("docs/errors.md")

    assert error_table() in page
    assert reason_table("en") in page
    assert reason_table("pt") in page
    assert [cls.code for cls in ERRORS if f"| `{cls.code}` | {cls.__doc__} |" not in page] == []


@pytest.mark.parametrize("name", NAMES)
def test_mappings_in_documents_lint_clean(name: str) -> None:
    """Whoever copies a mapping out of a document gets one that runs."""
    assert mapping_faults(read(name), name) == []


@pytest.mark.parametrize("name", NAMES)
def test_commands_in_documents_exist(name: str) -> None:
    """Whoever copies a command out of a document gets no usage error."""
    assert command_faults(read(name), name, cli, MAKEFILE) == []


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_somewhere(name: str) -> None:
    """A relative link of a document names a file that is there, and a heading that the file has."""
    assert link_faults(read(name), ROOT / name) == []


@pytest.mark.parametrize("link", ["nowhere.md", "nowhere.md#try-it", "README.md#nowhere", "#nowhere"])
def test_a_planted_link_fault_is_found(link: str) -> None:
    """A link to a file or heading that does not exist is reported, one beside it that does is not."""
    text = f"# Here\n[a]({link}) [b](README.md#try-it) [c](#here) [d](https://example.com/x.md)\n"

    assert link_faults(text, ROOT / "x.md") == [link]


def test_fences_are_found_with_their_lines() -> None:
    """Blocks come with language, text and line, indented ones too, and a fence in a longer fence is text."""
    text = "a\n```yaml\nx: 1\n```\n- b\n  ```bash\n  make\n  ```\n````text\n```\n````\n"

    assert list(fences(text)) == [Fence("yaml", "x: 1\n", 3), Fence("bash", "make\n", 7), Fence("text", "```\n", 10)]


def test_a_planted_mapping_fault_is_found() -> None:
    """A mapping with a key that the language does not know is reported with the document's line."""
    text = "# T\n\n```yaml\nevents: [PAYMENT_CREATED]\nfiltro: {}\ncontact: {email: customer.email}\n```\n"
    (fault,) = mapping_faults(text, "README.md")

    assert fault.startswith("README.md:5:1: ")


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("make tests", "the Makefile has no target tests"),
        ("bridge wep --port 1", "bridge has no command wep"),
        ("bridge db upgarde", "bridge db has no command upgarde"),
        ("PORT=1 bridge web --prot 1", "bridge web has no option --prot"),
        ("true && bridge nothing", "true is no program that the documents may name"),
        ("docker compose exec worker bridge nothing", "bridge has no command nothing"),
        ("bridge web | bridge nothing", "bridge has no command nothing"),
    ],
)
def test_a_planted_command_fault_is_found(line: str, fault: str) -> None:
    """A command, an option or a target that does not exist is reported with its line."""
    assert f"x.md:2: {fault}" in command_faults(f"```bash\n{line}\n```\n", "x.md", cli, MAKEFILE)


@pytest.mark.parametrize(
    "line", ["make", "make test PYTEST_ARGS=-x", "$ bridge web --port 1 # a comment", "cp a b", "A=1"]
)
def test_sound_commands_pass(line: str) -> None:
    """Targets, options, comments, assignments and the usual programs are fine."""
    assert command_faults(f"```bash\n{line}\n```\n", "x.md", cli, MAKEFILE) == []
