"""Serves a simulator as a process of its own: `python -m bridge.simulator asaas|clint --port N`.

It prints one line with its address when it answers. Its controls are under `/_sim/`.
"""

from __future__ import annotations

import argparse
import signal
import sys
import threading

from bridge.simulator.asaas import AsaasSimulator
from bridge.simulator.asaas.account import DEFAULT_KEY, QUOTA
from bridge.simulator.clint import ClintSimulator
from bridge.simulator.clint.account import DEFAULT_TOKEN
from bridge.simulator.serve import Served


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bridge.simulator", description="An Asaas or a Clint to try with.")
    simulators = parser.add_subparsers(dest="simulator", required=True)
    asaas = simulators.add_parser("asaas", help="customers, charges and webhooks")
    asaas.add_argument("--key", action="append", help=f"an API key it takes (default {DEFAULT_KEY})")
    asaas.add_argument("--webhook-time-scale", type=float, default=1.0, help="0.01 turns a penalty of 30 s into 0.3 s")
    asaas.add_argument("--quota", type=int, default=QUOTA, help="requests in 12 hours")
    clint = simulators.add_parser("clint", help="webhooks, funnel and deals")
    clint.add_argument("--token", action="append", help=f"an API token it takes (default {DEFAULT_TOKEN})")
    for one in (asaas, clint):
        one.add_argument("--host", default="127.0.0.1")
        one.add_argument("--port", type=int, default=0)
        one.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)

    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    simulator: AsaasSimulator | ClintSimulator
    if options.simulator == "asaas":
        simulator = AsaasSimulator(
            options.key or (DEFAULT_KEY,), options.webhook_time_scale, options.quota, options.seed
        )
    else:
        simulator = ClintSimulator(options.token or (DEFAULT_TOKEN,), options.seed)
    with Served(simulator.app, port=options.port, host=options.host) as served:
        sys.stdout.write(f"simulated {options.simulator} at {served.url}\n")
        sys.stdout.flush()
        stop.wait()
        simulator.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
