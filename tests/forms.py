"""The forms of a page as a browser without script sees and sends them."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

from werkzeug.test import TestResponse

from tests.console import Browser


@dataclass
class Button:
    """A button that sends its form."""

    name: str
    value: str
    action: str
    label: str
    text: str = ""


@dataclass
class PageForm:
    """A form with what its controls hold now."""

    action: str
    fields: list[tuple[str, str]] = field(default_factory=list)
    boxes: list[tuple[str, str]] = field(default_factory=list)
    """The boxes that are not ticked."""
    buttons: list[Button] = field(default_factory=list)
    choices: dict[str, list[str]] = field(default_factory=dict)
    """What each select has to choose from."""

    def __getitem__(self, name: str) -> str:
        return next(value for one, value in self.fields if one == name)

    def __contains__(self, name: str) -> bool:
        return any(one == name for one, _ in self.fields)

    def fill(self, **values: str) -> None:
        """Write into controls; `_` in a name stands for its `-`."""
        for name, value in values.items():
            key = name.replace("_", "-") if name.replace("_", "-") in self else name
            assert key in self, key
            assert key not in self.choices or value in self.choices[key], self.choices.get(key)
            self.fields = [(one, value if one == key else before) for one, before in self.fields]

    def tick(self, name: str, value: str) -> None:
        """Tick a box."""
        assert (name, value) in self.boxes
        self.fields.append((name, value))

    def press(self, browser: Browser, text: str, *, follow: bool = False) -> TestResponse:
        """Send the form by the button with that text or label; where it is kept as a draft, open the draft's page."""
        (button,) = [one for one in self.buttons if text in (" ".join(one.text.split()), one.label)][:1]
        data: dict[str, list[str]] = {}
        for name, value in [*self.fields, (button.name, button.value)]:
            data.setdefault(name, []).append(value)
        data.pop("csrf_token", None)
        action = (button.action or self.action).partition("#")[0]
        page = browser.post(action, data, follow=follow)
        return browser.get(page.location) if "/draft/" in (page.location or "") else page


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.forms: list[PageForm] = []
        self._form: PageForm | None = None
        self._select = ""
        self._text: list[str] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take a control in."""
        got = {name: value or "" for name, value in attrs}
        name = got.get("name", "")
        if tag == "form":
            self._form = PageForm(got.get("action", ""))
            self.forms.append(self._form)
        form = self._form
        if form is None:
            return
        if tag == "input" and got.get("type") == "checkbox":
            value = got.get("value", "on")
            (form.fields if "checked" in got else form.boxes).append((name, value))
        elif tag == "input" and name:
            form.fields.append((name, got.get("value", "")))
        elif tag == "textarea":
            self._text = []
            form.fields.append((name, ""))
        elif tag == "select":
            self._select = name
            form.choices[name] = []
        elif tag == "option" and self._select:
            value = got.get("value", "")
            form.choices[self._select].append(value)
            known = self._select in form
            if not known:
                form.fields.append((self._select, value))
            elif "selected" in got:
                form.fill(**{self._select: value})
        elif tag == "button" and got.get("type", "submit") == "submit":
            action, label = got.get("formaction", ""), got.get("aria-label", "")
            form.buttons.append(Button(name, got.get("value", ""), action, label))
            self._text = []

    def handle_endtag(self, tag: str) -> None:
        """Close what was open."""
        if tag == "form":
            self._form = None
        elif tag == "select":
            self._select = ""
        elif tag in {"textarea", "button"} and self._form is not None and self._text is not None:
            text = "".join(self._text)
            if tag == "button":
                self._form.buttons[-1].text = text
            else:
                name, _ = self._form.fields[-1]
                self._form.fields[-1] = (name, text.removeprefix("\n"))
            self._text = None

    def handle_data(self, data: str) -> None:
        """Collect the text of a control."""
        if self._text is not None:
            self._text.append(data)


def form_of(page: TestResponse, action: str = "") -> PageForm:
    """Return the page's form whose address ends like that; else the one that edits a mapping."""
    reader = _Reader()
    reader.feed(page.text)
    wanted = [one for one in reader.forms if one.action.endswith(action)] if action else []
    return wanted[0] if wanted else next(one for one in reader.forms if "text" in one)
