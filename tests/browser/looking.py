"""A browser before the console: what a person does there, and what must be true of every page that is looked at.

A page has no error in its console, nothing that axe finds, and on a phone no part that scrolls to the side. Where
BROWSER_SCREENS is set, as by `make test-long`, screenshots stay in `build/screens`: to take them costs as much as all
else.
"""

from __future__ import annotations

import os
import re
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from playwright.sync_api import Browser, ConsoleMessage, Locator, Page

from bridge.messages import _, in_language, ngettext

AXE = Path(__file__).parent / "axe" / "axe.min.js"
SCREENS = Path(__file__).parents[2] / "build" / "screens"
LOCALES = {"pt": "pt-BR", "en": "en-US"}
PHONE, DESK = 390, 1440
ARGUMENTS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
MOST_STOPS = 250
_STOP = """target => {
    const one = document.activeElement;
    if (one === target) return 'there';
    if (!target.isConnected) return 'gone';
    if (one === document.body || one.closest('.cm-editor')) return '';
    const {outlineStyle, outlineWidth} = getComputedStyle(one), box = one.getBoundingClientRect();
    const above = document.elementFromPoint(box.x + box.width / 2, box.y + Math.min(box.height, innerHeight) / 2);
    const isSeen = above && (one.contains(above) || above.contains(one));
    return outlineStyle !== 'none' && parseFloat(outlineWidth) > 0 && isSeen ? '' : one.outerHTML.slice(0, 200);
}"""
"""Returns whether the focus is there, else what has it where nobody sees it: without an outline, outside of the window
or below something; or that the target is gone."""
_SCROLLING = """() => [...document.querySelectorAll('main *, .side *')].filter(one =>
    one.clientWidth && one.scrollWidth > one.clientWidth + 1 && !one.closest('.cm-editor, textarea, thead')
    && (['auto', 'scroll'].includes(getComputedStyle(one).overflowX) || one.matches('.folds td, .stacks td'))
).map(one => one.outerHTML.slice(0, 200))"""
"""Returns what scrolls to the side, and cells of a folded table whose content is wider than they are."""
_SQUEEZED = """() => [...document.querySelectorAll('main td')].filter(one => {
    const text = document.createRange();
    text.selectNodeContents(one);
    const lines = new Set([...text.getClientRects()].map(box => Math.round(box.top)));
    return one.clientWidth < 110 && lines.size > 4;
}).map(one => one.outerHTML.slice(0, 200))"""
"""Returns cells so narrow that their text stands in many short lines."""
_RULES = "['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']"
_CONTRAST = "{type: 'rule', values: ['color-contrast']}"


class Visitor:
    """A person with a browser of their own, in one language."""

    def __init__(self, browser: Browser, base_url: str, language: str, *, scripts: bool = True) -> None:
        self.language = language
        self.errors: list[str] = []
        self._context = browser.new_context(
            base_url=base_url,
            locale=LOCALES[language],
            viewport={"width": DESK, "height": 900},
            reduced_motion="reduce",
            java_script_enabled=scripts,
        )
        self.page: Page = self._context.new_page()
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))

    def text(self, message: str, /, **facts: object) -> str:
        """Return a text of the console in this person's language."""
        with in_language(self.language):
            return _(message, **facts)

    def count(self, one: str, many: str, n: int) -> str:
        """Return a text for a number."""
        with in_language(self.language):
            return ngettext(one, many, n)

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is not None:
            error.add_note(f"{self.page.url} said:\n{self.page.locator('body').inner_text(timeout=5_000)[-4_000:]}")
        self._context.close()

    def _console(self, message: ConsoleMessage) -> None:
        # Whether a page uses its font "within a few seconds" is a matter of how busy the machine is.
        if message.type in {"error", "warning"} and "was preloaded using link preload" not in message.text:
            self.errors.append(message.text)

    def sign_in(self, password: str, name: str = "Ana") -> None:
        """Sign in as a person does."""
        self.page.goto("/login")
        self.page.get_by_label(self.text("Password")).fill(password)
        self.page.get_by_label(self.text("Your name")).fill(name)
        self.page.get_by_role("button", name=self.text("Sign in")).click()
        self.page.wait_for_url("**/")

    def reaches(self, target: Locator) -> None:
        """Press Tab until the target has the focus; each stop on the way must show that it has it."""
        # A locator would look for the names of all links at every stop.
        element = target.element_handle()
        for stop in range(MOST_STOPS):
            said = self.page.evaluate(_STOP, element)
            if said == "there":
                return
            if said == "gone":
                element = target.element_handle()
            elif stop:  # where it was before may be a place that no Tab leads to
                assert not said, f"the focus can't be seen on {said}"
            self.page.keyboard.press("Tab")
        raise AssertionError(f"{target} is not reached by {MOST_STOPS} tabs")

    def presses(self, target: Locator) -> None:
        """Go to a link or a button by the keyboard, press Enter, and wait for the page to which it leads."""
        self.reaches(target)
        with self.page.expect_navigation():
            self.page.keyboard.press("Enter")

    def types(self, target: Locator, text: str) -> None:
        """Go to a field by the keyboard, and type a text in place of what it holds."""
        self.reaches(target)
        self.page.keyboard.press("ControlOrMeta+a")
        self.page.keyboard.type(text)

    def picks(self, target: Locator, text: str) -> None:
        """Go to a select by the keyboard, and press the arrow until this choice is selected."""
        self.reaches(target)
        for _choice in target.locator("option").all():
            if target.evaluate("one => one.selectedOptions[0].text") == text:
                return
            self.page.keyboard.press("ArrowDown")
        raise AssertionError(f"{text} is not selected")

    def look(self, name: str, *, light: bool = True, dark: bool = True) -> None:
        """Look at the page as it is now on a desk and on a phone, light and dark; fail on any fault.

        A screenshot, where any are wanted, is taken of the light desk and of the dark phone.
        """
        self.page.wait_for_load_state()  # a click only waits until the next page begins to arrive
        for scheme, wanted in (("light", light), ("dark", dark)):
            if not wanted:
                continue
            self.page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]  # a literal, which a tuple forgets
            for width in (DESK, PHONE):
                self.page.set_viewport_size({"width": width, "height": 900})
                if (width == DESK) == (scheme == "light"):
                    self._screenshot(f"{name}-{self.language}-{scheme}-{width}")
                assert self.width() <= width, f"{name} scrolls to the side at {width} pixels"
                squeezed = self.page.evaluate(_SQUEEZED) if width == DESK else []
                assert squeezed == [], f"a column of {name} is too narrow on a desk: {squeezed}"
                scrolling = self.scrolling() if width == PHONE else []
                assert scrolling == [], f"a part of {name} scrolls to the side on a phone: {scrolling}"
            # Of axe's rules only the contrast depends on the scheme.
            faults = self.faults(_CONTRAST if light and dark and scheme == "dark" else _RULES)
            assert faults == [], f"{name} is not accessible ({scheme}): {faults}"
        self.page.emulate_media(color_scheme="light")
        self.page.set_viewport_size({"width": DESK, "height": 900})
        assert self.errors == [], f"{name} has errors in its console: {self.errors}"

    def _screenshot(self, name: str) -> None:
        if "BROWSER_SCREENS" not in os.environ:
            return
        SCREENS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SCREENS / f"{re.sub(r'[^a-z0-9-]+', '-', name.lower())}.png", full_page=True)

    def scrolling(self) -> list[str]:
        """Return the parts of the page that scroll to the side."""
        found: list[str] = self.page.evaluate(_SCROLLING)
        return found

    def width(self) -> int:
        """Return how wide the page is with all that is in it."""
        width: int = self.page.evaluate("document.documentElement.scrollWidth")
        return width

    def faults(self, only: str) -> list[str]:
        """Return what axe finds wrong with the page: the rule, and the first element that breaks it."""
        # Evaluated by the debugger, which the page's own policy does not bind: the page stays as strict as it is.
        if not self.page.evaluate("'axe' in window"):
            self.page.evaluate(_axe())
        found: dict[str, Any] = self.page.evaluate(
            f"axe.run(document, {{resultTypes: ['violations'], preload: false, runOnly: {only}}})"
        )
        return [f"{one['id']}: {one['nodes'][0]['html'][:200]}" for one in found["violations"]]


@cache
def _axe() -> str:
    return AXE.read_text(encoding="utf-8")
