"""`bridge users`: who may come in, from a shell."""

from __future__ import annotations

from pathlib import Path

from bridge.journal import audit
from tests.commands import Commands

EMAIL = "bia@example.com"


def test_people_are_invited_changed_shut_out_and_removed(tmp_path: Path) -> None:
    """Each by the e-mail; the link is printed once, and the trail names no e-mail."""
    commands = Commands(tmp_path)
    with commands.journal() as journal:
        assert commands.run("users", "list", "--json").json == []
        made = commands.run("users", "invite", EMAIL, "--name", "Bia", "--account", "filial", "--json").json
        again = commands.run("users", "invite", EMAIL, "--name", "Bia")
        (row,) = commands.run("users", "list", "--json").json
        steps = [
            commands.run("users", *words).status
            for words in (
                ("role", EMAIL, "viewer"),
                ("link", EMAIL),
                ("disable", EMAIL),
                ("link", EMAIL),
                ("enable", EMAIL),
                ("role", "nobody@example.com", "viewer"),
            )
        ]
        changed = commands.run("users", "list")
        commands.environ["BRIDGE_LANGUAGE"] = "pt-BR"
        by_word = commands.run("users", "role", EMAIL, "Leitor").status
        del commands.environ["BRIDGE_LANGUAGE"]
        removed = commands.run("users", "remove", EMAIL, "--yes")
        left = commands.run("users", "list", "--json").json
        with journal.database.read() as connection:
            trail = audit.newest(connection, 100)

    assert made["url"].startswith("http://127.0.0.1:8000/invitation/")
    assert again.status == 2
    assert (row["role"], row["state"], row["accounts"]) == ("operator", "invited", ["filial"])
    assert steps == [0, 0, 0, 2, 0, 1]
    assert "viewer" in changed.out
    assert by_word == 0
    assert (removed.status, left) == (0, [])
    assert {"user.invited", "user.changed", "user.link_made", "user.disabled", "user.enabled", "user.removed"} <= {
        one["action"] for one in trail
    }
    assert EMAIL not in str(trail)
