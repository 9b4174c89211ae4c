"""The console: who may come in, and what a form may do."""

from __future__ import annotations

from bridge.errors.root import BridgeError


class ConsoleClosed(BridgeError):
    """the console is closed until a password is set or the token that `bridge up` prints opens it"""

    code = "console.closed"
    http_status = 403


class NotSignedIn(BridgeError):
    """sign in first"""

    code = "console.not_signed_in"
    http_status = 401


class ReadOnly(BridgeError):
    """who signed in with the viewer's password changes nothing"""

    code = "console.read_only"
    http_status = 403


class FormRefused(BridgeError):
    """the form is too old or was not made by this console"""

    code = "console.form_refused"
    http_status = 400


class TooManySignIns(BridgeError):
    """too many wrong passwords came from there; wait a while"""

    code = "console.too_many_sign_ins"
    http_status = 429


class ConsoleBusy(BridgeError):
    """the console does as much at once as it may; try again in a moment"""

    code = "console.busy"
    http_status = 503


class NoAnswerYet(BridgeError):
    """no answer came within 3 seconds; what was asked for may still be done"""

    code = "console.no_answer"
    http_status = 504


class JobLost(BridgeError):
    """the process that did it ended; begin it again"""

    code = "console.job_lost"


class MappingChanged(BridgeError):
    """somebody else changed the mapping meanwhile"""

    code = "console.mapping_changed"
    http_status = 409
