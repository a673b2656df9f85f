"""How a picture is to be turned: the orientation that cameras write into EXIF."""

import struct

# What begins the EXIF segment of a JPEG; some writers leave it in front of that of other formats.
PREFIX = b"Exif\0\0"
UPRIGHT = 1

# TIFF's byte order mark with its number 42, and the sign of that order for `struct`.
_BYTE_ORDERS = {b"II*\0": "<", b"MM\0*": ">"}
_ORIENTATION, _SHORT = 0x0112, 3
_ENTRY_BYTES = 12


def orientation(exif: bytes) -> int:
    """The orientation that an EXIF block states.

    Args:
      exif: a TIFF directory, with or without `PREFIX`.

    Returns:
      1 to 8, as EXIF numbers them: 1 is upright, 6 a picture that was taken with the camera turned.
      A block that is damaged or does not say leaves the picture as it is stored: 1.
    """
    tiff = exif.removeprefix(PREFIX)
    order = _BYTE_ORDERS.get(tiff[:4])
    if order is None:
        return UPRIGHT
    try:
        (start,) = struct.unpack_from(f"{order}I", tiff, 4)
        (count,) = struct.unpack_from(f"{order}H", tiff, start)
    except struct.error:
        return UPRIGHT
    entries = tiff[start + 2 : start + 2 + count * _ENTRY_BYTES]
    whole = len(entries) // _ENTRY_BYTES * _ENTRY_BYTES
    # An entry: its tag, type, count of values, and a short value in the first two of four bytes.
    for tag, kind, values, value, _ in struct.iter_unpack(f"{order}HHIHH", entries[:whole]):
        if (tag, kind, values) == (_ORIENTATION, _SHORT, 1) and value in range(1, 9):
            return int(value)
    return UPRIGHT
