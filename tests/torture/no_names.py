"""`python no_names.py FILE MODULE ARGUMENT...`: a machine whose resolver answers nothing while a file says 1."""

from __future__ import annotations

import runpy
import socket
import sys
from pathlib import Path
from typing import Any

knob, sys.argv = Path(sys.argv[1]), sys.argv[2:]
_resolve = socket.getaddrinfo


def _getaddrinfo(host: Any, *arguments: Any, **more: Any) -> Any:
    if host == "localhost" and knob.read_text() == "1":
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
    return _resolve(host, *arguments, **more)


socket.getaddrinfo = _getaddrinfo
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
