"""The statement of an Asaas account as a file that accounting programs import; reads only, changes nothing."""

from bridge.statement.entries import Entry, Statement, read_statement
from bridge.statement.ofx import written_ofx
from bridge.statement.table import written_csv

__all__ = ["Entry", "Statement", "read_statement", "written_csv", "written_ofx"]
