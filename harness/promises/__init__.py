"""What volume drivers promise across hosts, as data: `matrix.yaml`, and what it says of one volume.

`promises_of` is what drivers put into a plan; `render` is docs/promises.md.
"""

from harness.promises.matrix import Matrix, load, read
from harness.promises.rendering import render
from harness.promises.resolving import NAMES, OVERRIDDEN, overridden, promises_of

__all__ = ["NAMES", "OVERRIDDEN", "Matrix", "load", "overridden", "promises_of", "read", "render"]
