"""What will work on a machine or on hosts, said before anything is made. Prints nothing, changes nothing."""

from harness.doctor.examine import Examination, Finding, examine, examine_hosts, unmet_demands
from harness.doctor.table import tables

__all__ = ["Examination", "Finding", "examine", "examine_hosts", "tables", "unmet_demands"]
