"""Finds faults in Markdown files: mappings that do not lint, commands, targets and links that lead nowhere."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from bridge.mapping import Setup, Severity, parse_mapping

# What the examples of the documents may rely on; each of them works with CLINT_WEBHOOK_URL alone or names these.
KNOWN = Setup(frozenset({"default", "matriz"}), frozenset({"default", "vencidas", "pagas", "vendas"}), None)

# Programs of others that the documents tell people to run.
FOREIGN = frozenset(
    {
        "cp",
        "sudo",
        "set",
        ".",
        "cloudflared",
        "ngrok",
        "git",
        "cd",
        "export",
        "pip",
        "python3",
        "source",
        "chmod",
        "docker",
    }
)


@dataclass(frozen=True, slots=True)
class Fence:
    """A fenced block of a Markdown file."""

    language: str
    text: str
    line: int


def fences(markdown: str) -> Iterator[Fence]:
    """Return every fenced block with the line at which its text begins."""
    opened: re.Match[str] | None = None
    begun, gathered = 0, list[str]()
    for number, line in enumerate(markdown.splitlines(), 1):
        if opened is None:
            if opened := re.match(r"(\s*)(`{3,})(\w*)", line):
                begun, gathered = number + 1, []
        elif line.strip() == opened[2]:
            yield Fence(opened[3], "\n".join(gathered) + "\n", begun)
            opened = None
        else:
            gathered.append(line.removeprefix(opened[1]))


def mapping_faults(markdown: str, path: str) -> list[str]:
    """Return what the linter says against the whole mappings in the document, with the document's own lines."""
    found = []
    for fence in fences(markdown):
        if fence.language == "yaml" and re.search(r"^events:", fence.text, re.MULTILINE):
            # So that the linter counts the document's lines.
            text = "\n" * (fence.line - 1) + fence.text
            found += [str(f) for f in parse_mapping(text, path, KNOWN).findings if f.severity is Severity.ERROR]
    return found


def command_faults(markdown: str, path: str, group: click.Group, makefile: str) -> list[str]:
    """Return the commands in the document's shell blocks that nobody could run."""
    found = []
    for fence in fences(markdown):
        if fence.language in {"bash", "sh", "shell", "console"}:
            for offset, line in enumerate(fence.text.splitlines()):
                for words in _commands_of(line):
                    if fault := _fault(words, group, makefile):
                        found.append(f"{path}:{fence.line + offset}: {fault}")
    return found


def link_faults(markdown: str, path: Path) -> list[str]:
    """Return the relative links of the document that name no file, or no heading of their file."""
    found = []
    for link in re.findall(r"\]\((?!https?:)([^)\s]+)\)", markdown):
        name, _, anchor = link.partition("#")
        target = path.parent / name
        sound = not name or target.exists()
        if sound and anchor:
            sound = anchor in _anchors(target.read_text(encoding="utf-8") if name else markdown)
        if not sound:
            found.append(link)
    return found


def _anchors(markdown: str) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", markdown, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _commands_of(line: str) -> Iterator[list[str]]:
    for part in re.split(r"\s*(?:;|&&|\|)\s*", line.removeprefix("$ ")):
        words = shlex.split(part, comments=True)
        while words and re.match(r"[A-Z_]+=", words[0]):
            words = words[1:]
        if words:
            yield words


def _fault(words: list[str], group: click.Group, makefile: str) -> str | None:
    if words[0] == "make":
        targets = [word for word in words[1:] if "=" not in word and not word.startswith("-")]
        missing = [word for word in targets if not re.search(rf"^{re.escape(word)}:", makefile, re.MULTILINE)]
        return f"the Makefile has no target {missing[0]}" if missing else None
    if words[:3] == ["docker", "compose", "exec"]:
        words = [word for word in words[3:] if not word.startswith("-T")][1:]
        if words[0] != "bridge":
            return None
    if words[0] == "bridge":
        return _bridge_fault(words, group)
    return None if words[0] in FOREIGN else f"{words[0]} is no program that the documents may name"


def _bridge_fault(words: list[str], group: click.Group) -> str | None:
    command: click.Command = group
    options = _options(group)
    for position, word in enumerate(words[1:], 1):
        if word.startswith("-"):
            if word.split("=")[0] not in options:
                return f"{' '.join(words[:position])} has no option {word}"
        elif isinstance(command, click.Group):
            found = command.get_command(click.Context(command), word)
            if found is None:
                return f"{' '.join(words[:position])} has no command {word}"
            command = found
            options |= _options(command)
    return None


def _options(command: click.Command) -> set[str]:
    named = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    return named | {"--help", "-h"}
