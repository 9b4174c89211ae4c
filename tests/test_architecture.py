"""The package keeps to its layers, and the check that says so fails on each planted fault."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.layers import LAYERS, Import, faults, imports, read_sources

PACKAGE = Path(__file__).parents[1] / "bridge"


def test_the_package_keeps_to_its_layers() -> None:
    """No module of the bridge breaks a rule."""
    assert faults(read_sources(PACKAGE)) == []


def test_every_layer_name_is_listed_once() -> None:
    """A name has one place in the table."""
    names = [name for line in LAYERS for name in line]

    assert sorted(set(names)) == sorted(names)


SOUND = {
    "bridge": '__version__ = "1"\n',
    "bridge.errors": "import json\n",
    "bridge.model": "from bridge.errors import BridgeError\n",
    "bridge.mapping": "from bridge.mapping.read import read\n",
    "bridge.mapping.read": "from bridge import __version__\nfrom . import spec\nfrom ..model import Event\n",
    "bridge.mapping.spec": "",
    "bridge.web": "import bridge.mapping.read\nfrom bridge import pipeline\n",
    "bridge.pipeline": "from bridge.mapping import read\n",
    "bridge.cli": "from bridge.simulator import serve\n",
    "bridge.simulator": "",
    "bridge.simulator.serve": "import flask\nfrom bridge.simulator import asaas\n",
    "bridge.simulator.asaas": "",
}


def test_a_sound_package_has_no_faults() -> None:
    """Imports downwards, within a package, of the version and of libraries are all fine."""
    assert faults(SOUND) == []


def test_imports_are_resolved_to_modules() -> None:
    """Relative imports, modules and names in modules all lead to the module that holds them."""
    assert set(imports({name: SOUND[name] for name in SOUND if name.startswith("bridge.m") or name == "bridge"})) == {
        Import("bridge.model", "bridge.errors", 1),
        Import("bridge.mapping", "bridge.mapping.read", 1),
        Import("bridge.mapping.read", "bridge", 1),
        Import("bridge.mapping.read", "bridge.mapping.spec", 2),
        Import("bridge.mapping.read", "bridge.model", 3),
    }


@pytest.mark.parametrize(
    ("module", "text", "fault"),
    [
        pytest.param(
            "bridge.model",
            "from bridge.web import create_app\n",
            "bridge.model:1 imports bridge.web: that is a higher layer",
            id="upward",
        ),
        pytest.param(
            "bridge.mapping.spec",
            "def f():\n    from bridge import web\n",
            "bridge.mapping.spec:2 imports bridge.web: that is a higher layer",
            id="upward, from bridge import, inside a function",
        ),
        pytest.param(
            "bridge.mapping.spec",
            "from ..pipeline import accept\n",
            "bridge.mapping.spec:1 imports bridge.pipeline: that is a higher layer",
            id="upward, relative",
        ),
        pytest.param(
            "bridge.mapping.spec",
            "import bridge.web as w\n",
            "bridge.mapping.spec:1 imports bridge.web: that is a higher layer",
            id="upward, under another name",
        ),
        pytest.param(
            "bridge.model",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from bridge.cli import main\n",
            "bridge.model:3 imports bridge.cli: that is a higher layer",
            id="upward, for types only",
        ),
        pytest.param(
            "bridge.model",
            "import bridge.operations.replay\n",
            "bridge.model:1 imports bridge.operations.replay: that is a higher layer",
            id="upward, to a module that is not there",
        ),
        pytest.param(
            "bridge.pipeline",
            "from bridge.alerts import send\n",
            "bridge.pipeline:1 imports bridge.alerts: that is a sibling",
            id="sibling",
        ),
        pytest.param(
            "bridge.mapping.spec",
            "from bridge.mapping import read\n",
            "bridge.mapping.read, bridge.mapping.spec import each other in a circle",
            id="cycle inside a package",
        ),
        pytest.param(
            "bridge.mapping.spec",
            "from bridge.mapping import Mapping\n",
            "bridge.mapping, bridge.mapping.read, bridge.mapping.spec import each other in a circle",
            id="cycle through the package itself",
        ),
        pytest.param(
            "bridge",
            "from bridge.errors import BridgeError\n",
            "bridge:1 imports bridge.errors: the package itself imports none of its modules",
            id="the package imports its modules",
        ),
        pytest.param(
            "bridge.utils",
            "",
            "bridge.utils is in no layer; give it a place in tests/layers.py and ARCHITECTURE.md",
            id="unlisted",
        ),
        pytest.param(
            "bridge.mapping.helpers",
            "",
            "bridge.mapping.helpers is named helpers, which says nothing; name what it does",
            id="nameless",
        ),
        pytest.param(
            "bridge.web",
            "from bridge.simulator import asaas\n",
            "bridge.web:1 imports bridge.simulator.asaas: only the commands may start the simulators",
            id="simulator in the product",
        ),
        pytest.param(
            "bridge.simulator.asaas",
            "from bridge.errors import BridgeError\n",
            "bridge.simulator.asaas:1 imports bridge.errors: the simulators import nothing of the bridge",
            id="product in the simulator",
        ),
    ],
)
def test_a_planted_fault_is_found(module: str, text: str, fault: str) -> None:
    """Each kind of fault, planted into a sound package, is reported in words that say where."""
    assert fault in faults({**SOUND, module: text})


def test_the_real_package_with_a_planted_fault_fails(tmp_path: Path) -> None:
    """The files are really read: a new utils.py that imports upwards is found in a copy of the package."""
    package = tmp_path / "bridge"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "utils.py").write_text("from bridge import web\n")
    (package / "web").mkdir()
    (package / "web" / "__init__.py").write_text("")

    assert faults(read_sources(package)) == [
        "bridge.utils is in no layer; give it a place in tests/layers.py and ARCHITECTURE.md",
        "bridge.utils is named utils, which says nothing; name what it does",
        "bridge.utils:1 imports bridge.web: that is a higher layer",
    ]


def test_the_page_shows_the_layers() -> None:
    """docs/architecture.md has a row for each layer, from the highest to the lowest."""
    page = (PACKAGE.parent / "docs" / "architecture.md").read_text().partition("## Layers")[2]
    rows = [tuple(re.findall(r"`(\w+)`", line.split("|")[1])) for line in page.splitlines() if line.startswith("| `")]

    assert rows == [*LAYERS[1:], ("simulator",)]
