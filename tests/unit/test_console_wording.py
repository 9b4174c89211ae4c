"""No text that a page shows names a command or a variable: people who have only the console can use neither."""

from __future__ import annotations

from pathlib import Path
from string import Formatter

from babel.messages.extract import extract_from_dir

from bridge.messages import _, use_language
from bridge.reasons import WORDS
from bridge.web.console.wording import IN_CONSOLE
from tests.catalogue import texts
from tests.console import names

BRIDGE = Path(__file__).parents[2] / "bridge"
_NOT_ON_A_PAGE = ("cli/**", "simulator/**", "settings.py", "embedded_redis.py", "redis_client.py", "private_files.py")
"""Texts of commands and of processes that do not start."""
_FOR_PROGRAMS = ("web/door.py", "web/console/wording.py")

OF_ENVIRONMENT = {
    "ASAAS_API_KEY must begin with $aact_prod_ or $aact_hmlg_, got a secret that is not shown; copy the whole key in "
    "single quotes, or set ASAAS_API_URL if it is an older one",
    "BRIDGE_FAILPOINT is set: processes kill themselves at {failpoint}",
    "fix BRIDGE_ALERT_URLS; apprise's documentation has the form of each service's URL",
    "set ASAAS_API_URL to {production} or {sandbox}",
    "set BRIDGE_TRUSTED_PROXIES to the number of proxies before the bridge, such as 1",
    "take ASAAS_API_URL away: the key says which API it belongs to",
    "{key}, but ASAAS_API_URL is production's",
    "{key}, but ASAAS_API_URL is sandbox's",
    "run: bridge webhook register --rotate{account}",
}
"""Told only where the environment sets what they are about."""
OF_COMMANDS = {
    "set BRIDGE_ENCRYPTION_KEY to the journal's key (old keys after the new one, separated by commas)",
    "set CLINT_DEAL_APPEARS_S higher, such as 300, for all processes and start them again",
    "shows a new deal after {seconds:.1f} s; CLINT_DEAL_APPEARS_S is {most:g}",
    "the Redis of REDIS_URL does not answer: {why}; {hint}",
    "the journal is encrypted with key {key}, and BRIDGE_ENCRYPTION_KEY is another one",
    "the journal is encrypted with key {key}, and BRIDGE_ENCRYPTION_KEY is unset",
    "then: bridge deliveries retry",
    "then: bridge events replay",
    "{name} in DATABASE_URL must be a whole number or none, got {value!r}",
}
"""Told by commands, in alerts, or before the console runs."""
HOW_TO_SET = {
    "Addresses are kept only encrypted. Make a key with this command, set it as BRIDGE_ENCRYPTION_KEY and start the "
    "bridge again.",
    "For a new journal on one machine the command bridge up makes the key by itself.",
    "On this machine, open the address with ?token=… that bridge up or bridge demo printed at its start; it is another "
    "one at each start.",
    "The bridge stores them only encrypted, and BRIDGE_ENCRYPTION_KEY is not set.",
    "The token in it is wrong or of an earlier start: bridge up and bridge demo print another one at each start.",
}
"""The instructions for what only the server can set: an encryption key, and a way into a console that is closed."""


def naming(places: str, method: str) -> set[str]:
    """Return the texts of the code, or of the templates, that name a command or a variable."""
    keywords = {"_": None, "N_": None, "ngettext": (1, 2), "pgettext": ((1, "c"), 2)}
    ignored = [(place, "ignore") for place in (*_NOT_ON_A_PAGE, *_FOR_PROGRAMS)]
    found = set[str]()
    for _file, _line, message, _comments, _context in extract_from_dir(
        BRIDGE, [*ignored, (places, method)], keywords=keywords
    ):
        found |= {one for one in ([message] if isinstance(message, str) else message) if names(one)}
    return found


def test_a_text_with_a_command_or_variable_has_another_one_for_the_console() -> None:
    """Or no page shows it. A new text that names one needs an entry of `bridge/web/console/wording.py`."""
    with_page = {one.todo for one in WORDS.values() if one.page}
    known = IN_CONSOLE.keys() | with_page | OF_ENVIRONMENT | OF_COMMANDS

    assert sorted(naming("**.py", "python") - known) == []
    assert sorted(naming("**.html", "jinja2.ext:babel_extract") - HOW_TO_SET) == []
    assert names("see: bridge doctor"), "the test sees commands"
    assert names("set CLINT_API_TOKEN"), "and variables"


def test_the_texts_of_the_console_name_neither_and_need_no_other_fact() -> None:
    """An entry whose text is gone would never be used."""
    there = {text for text, _context in texts()}
    unfilled = {
        text: more for text, instead in IN_CONSOLE.items() if (more := _placeholders(instead) - _placeholders(text))
    }

    assert sorted(IN_CONSOLE.keys() - there) == []
    assert [one for one in IN_CONSOLE.values() if names(one)] == []
    assert [one.page or one.todo for one in WORDS.values() if names(one.in_console)] == []
    assert unfilled == {}


def _placeholders(text: str) -> set[str]:
    return {name for _literal, name, _spec, _conversion in Formatter().parse(text) if name}


def test_a_thread_that_served_a_page_speaks_of_commands_again() -> None:
    """The wording ends with the request, as the language does."""
    use_language("en", IN_CONSOLE)
    of_page = _("see: bridge doctor")
    use_language("en")

    assert "bridge doctor" not in of_page
    assert _("see: bridge doctor") == "see: bridge doctor"
