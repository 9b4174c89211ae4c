"""The bridge that brings Asaas charges into the Clint CRM.

Read the package as the way of an event: `asaas.webhook` -> `ingress` -> `journal` -> `queueing` -> `process`
(`filtering`, `enrichment`, `transform`) -> `outbox` (`delivery`) -> `clint`.
"""

__version__ = "0.1.0"
