"""The same topology under several values of its keys, run in turn, and what that allows to be said of them."""

from harness.compare.cells import Cell, cells_of, parse_vary
from harness.compare.data import to_json
from harness.compare.files import write_files
from harness.compare.markdown import markdown
from harness.compare.matrix import Matrix, matrix_of
from harness.compare.page import render
from harness.compare.running import Comparing
from harness.compare.terminal import print_comparison

__all__ = [
    "Cell",
    "Comparing",
    "Matrix",
    "cells_of",
    "markdown",
    "matrix_of",
    "parse_vary",
    "print_comparison",
    "render",
    "to_json",
    "write_files",
]
