"""What a folder of runs shows over nights: failures that are new, checks that are flaky, figures that drift."""

from harness.record.data import to_json
from harness.record.page import render, write_page
from harness.record.reading import Folder, LeftOut, Row, read
from harness.record.summary import Record, Tested, record
from harness.record.terminal import print_record

__all__ = [
    "Folder",
    "LeftOut",
    "Record",
    "Row",
    "Tested",
    "print_record",
    "read",
    "record",
    "render",
    "to_json",
    "write_page",
]
