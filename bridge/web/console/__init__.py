"""The console: pages under `/` for the people who run the bridge, in Portuguese and English.

Every page is one Jinja template filled on the server; htmx only fetches parts of pages anew. A page module makes a
blueprint, reads through `bridge.journal` and changes through `bridge.recovery`; it never writes SQL. What all pages
have in common (who may come in, languages, headers, the forms' tokens) is done once, for every blueprint in
`mount.PAGES`. To add a page: a module with a blueprint, its line in `mount.PAGES` and `frame.NAVIGATION`, a template
that extends `layout.html`, and its words in a file of `bridge/web/words`.
"""

from __future__ import annotations

from bridge.web.console.mount import mount

__all__ = ["mount"]
