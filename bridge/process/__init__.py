"""Turns new events of a leased lane into deliveries: filtering -> enrichment -> transform -> rows, one commit a batch.

An event whose data Asaas can't give right now is put off with its reason, and the later events of the same customer
wait with it; others go past. What a mapping gets wrong makes a dead delivery with a reason, never a stopped lane.
"""

from bridge.process.active import ActiveMapping, ActiveMappings, MappingFiles
from bridge.process.batch import Batch, Processor
from bridge.process.plan import Plan, opened

__all__ = ["ActiveMapping", "ActiveMappings", "Batch", "MappingFiles", "Plan", "Processor", "opened"]
