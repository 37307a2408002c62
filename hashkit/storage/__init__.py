"""Files that are safe to receive and that survive a power failure: arrays and settings in a safetensors container.

A file is 8 bytes little-endian header length, a JSON header, then the arrays back to back; any safetensors reader opens
it. The header's ``__metadata__`` holds what hashkit adds, each value a string:

===================  ========================================================================
``format``           ``hashkit``
``version``          the format's version, 1
``kind``             what the file holds, for example ``index``
``settings``         a JSON object
``checksums``        a JSON object, array name -> CRC-32 of its bytes, eight hexadecimal digits
``header_checksum``  the same of the header as compact JSON without this entry
===================  ========================================================================

Arrays begin at multiples of 64 bytes. safetensors allows no gaps, so gaps are arrays named ``__padding_N__``, which
readers of this module skip.

Nothing in a file is trusted: the header is limited in size, every offset and shape is compared with the file's own size
before anything is allocated, and checksums cover every byte that is read. :func:`read_tensors` verifies them all.
:func:`open_tensors` maps the file, verifies the header only (well under a millisecond at any size) and leaves the
contents to :meth:`TensorFile.verify`, array by array, when they are first needed: CRC-32 runs at 1 to 4 GB/s.

:func:`write_tensors` writes a temporary file beside the target, flushes it to disk, renames it and flushes the folder:
at every instant the path holds the whole old or the whole new file. A file is replaced, never written to, so a
mapping of it stays valid. Pipes and devices are refused. A process killed in the middle leaves a temporary file
``.hashkit-`` behind, which the next write in that folder deletes, and no other file of such a name
(``hashkit.storage.replacing``).

Databases are opened through ``hashkit.storage.sqlite``; the files of a collection are those of
``hashkit.storage.layout``.
"""

from hashkit.storage.header import FormatError
from hashkit.storage.tensors import Path, TensorFile, check_path, open_tensors, read_tensors, write_tensors

__all__ = ["FormatError", "Path", "TensorFile", "check_path", "open_tensors", "read_tensors", "write_tensors"]
