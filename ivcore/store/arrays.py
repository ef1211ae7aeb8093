"""Named arrays as the bytes of an ``.npz`` file and back, without pickle and without trust.

An ``.npz`` file may be a bomb: a short file that unpacks to a huge one, or a header that claims a huge array.  So the
sizes that the archive states are added up first, no member is unpacked beyond its size, and a header must claim
exactly the bytes that follow it before anything is made room for.
"""

from __future__ import annotations

import io
import math
import re
import zipfile
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from ..errors import StoreError
from .files import Damage

__all__ = ["MAX_BYTES", "pack", "unpack"]

MAX_BYTES = 2**30
"""A run's arrays may take so many bytes, unpacked."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")
_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
_ENCRYPTED = 0x1


def pack(arrays: Mapping[str, NDArray[Any]], *, compress: bool) -> bytes:
    """The bytes of an ``.npz`` file; the same arrays give the same bytes.

    Args:
        arrays: by name (a Python identifier in ASCII); of any shape, of numbers, booleans or fixed-length text.
        compress: smaller, and several times slower to write.

    Raises:
        TypeError, ValueError: an array holds Python objects, or a name is none.
        StoreError: together they take more than MAX_BYTES.
    """
    made = {name: np.asarray(array) for name, array in arrays.items()}
    for name, array in made.items():
        if _NAME.fullmatch(name) is None:
            raise ValueError(f"{name!r} cannot name an array; use letters, digits and _.")
        if array.dtype.kind not in "biufcUS":
            raise TypeError(f"The array {name} has type {array.dtype}; numbers, booleans and text can be stored.")
    if (total := sum(array.nbytes for array in made.values())) > MAX_BYTES:
        raise StoreError(
            f"The run has {total:,} bytes of arrays, and {MAX_BYTES:,} can be kept; ask for fewer samples."
        )
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED) as archive:
        for name, array in made.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                npy.write_array(member, array, allow_pickle=False)
    return buffer.getvalue()


def unpack(data: bytes) -> dict[str, NDArray[Any]]:
    """The arrays in the bytes of an ``.npz`` file, writable, in the file's order. Raises Damage."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
            if sum(member.file_size for member in members) > MAX_BYTES + 2**16 * len(members):
                raise Damage(f"its arrays take more than the {MAX_BYTES:,} bytes allowed")
            named = [(_array_name(member), member) for member in members]
            if len(dict(named)) < len(named):
                raise Damage("an array is there twice")
            return {name: _array(name, _bytes(archive, member)) for name, member in named}
    except (ValueError, OSError, EOFError, RuntimeError, MemoryError, zipfile.BadZipFile, zlib.error) as err:
        raise Damage("its arrays cannot be read") from err


def _array_name(member: zipfile.ZipInfo) -> str:
    name = member.filename.removesuffix(".npy")
    if _NAME.fullmatch(name) is None or not member.filename.endswith(".npy"):
        raise Damage("it holds something that is no array")
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or member.flag_bits & _ENCRYPTED:
        raise Damage(f"the array {name} is packed in an unknown way")
    return name


def _bytes(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    with archive.open(member) as stream:
        # With a size, zipfile unpacks no more than so many bytes at once; without, all that are there.
        return stream.read(member.file_size)


def _array(name: str, data: bytes) -> NDArray[Any]:
    stream = io.BytesIO(data)
    read_header = _HEADERS.get(npy.read_magic(stream))
    if read_header is None:
        raise Damage(f"the array {name} has an unknown format")
    shape, _, dtype = read_header(stream)
    if dtype.kind not in "biufcUS" or dtype.itemsize == 0:
        raise Damage(f"the array {name} holds neither numbers nor text")
    if math.prod(shape) * dtype.itemsize != len(data) - stream.tell() or any(length < 0 for length in shape):
        raise Damage(f"the array {name} has another size than it says")
    stream.seek(0)
    array: NDArray[Any] = npy.read_array(stream, allow_pickle=False)
    return array
