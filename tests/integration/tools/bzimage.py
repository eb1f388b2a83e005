#!/usr/bin/env python3
"""Makes a bzImage that is nothing but its header and a packed kernel.

usage: bzimage.py SECTORS PACKED [SIZE] > OUT

SECTORS is the header's setup_sects, of which 0 stands for 4 (the kernel's
Documentation/arch/x86/boot.rst). SIZE, where it is given, is put behind what was packed, as the
kernel's build does it but for gzip, whose format ends with it.
"""

import struct
import sys

SECTOR = 512
BEFORE_PAYLOAD = 700  # bytes of the part that would unpack it


def main():
    sectors = int(sys.argv[1])
    with open(sys.argv[2], "rb") as f:
        payload = f.read()
    if len(sys.argv) > 3:
        payload += struct.pack("<I", int(sys.argv[3]))
    setup = bytearray(((sectors or 4) + 1) * SECTOR)
    setup.extend(b"\x90" * BEFORE_PAYLOAD)
    setup[497] = sectors
    setup[514:518] = b"HdrS"
    struct.pack_into("<II", setup, 584, BEFORE_PAYLOAD, len(payload))
    sys.stdout.buffer.write(bytes(setup) + payload + b"\xcc" * 100)


main()
