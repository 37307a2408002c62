"""Another instruction set in use for a while; the variable HASHKIT_ISA is read once in the life of a process."""

import contextlib
import os

from hashkit import _native


@contextlib.contextmanager
def forced_isa(name):
    _native.force_isa(name)
    try:
        assert name is None or _native.default_isa() == name
        yield
    finally:
        _native.force_isa(os.environ.get("HASHKIT_ISA"))
