"""The bridge that brings Asaas charges into the Clint CRM.

An event goes this way: `web.door` -> `pipeline.intake` -> `journal` -> `wakeups` -> `worker` -> `pipeline.decide` ->
`pipeline.deliver` -> `clint.webhook`.
"""

__version__ = "0.1.0"
