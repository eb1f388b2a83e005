#!/usr/bin/python3
"""A root file system tar of many entries, or of one large file, fast.

    many.py entries COUNT > FILE    folders of 1,000 empty files
    many.py bytes COUNT > FILE      one file of so many zeros
"""

import sys
import tarfile

BLOCK = 512


def header(name, kind, size=0):
    info = tarfile.TarInfo(name)
    info.type = kind
    info.size = size
    info.mode = 0o755
    return info.tobuf(tarfile.USTAR_FORMAT)


def write_entries(out, count):
    """The headers of a folder's files differ in three digits and in the sum of them."""
    for start in range(0, count, 1000):
        folder = f"d{start:09d}"
        out.write(header(folder, tarfile.DIRTYPE))
        first = bytearray(header(f"{folder}/file-000", tarfile.REGTYPE))
        at = first.index(b"-000") + 1
        sum_of_first = int(first[148:154], 8)
        for number in range(min(1000, count - start) - 1):
            digits = b"%03d" % number
            first[at : at + 3] = digits
            first[148:154] = b"%06o" % (sum_of_first + sum(digits) - 3 * ord("0"))
            out.write(first)
    out.write(bytes(2 * BLOCK))


def write_bytes(out, count):
    out.write(header("large", tarfile.REGTYPE, count))
    chunk = bytes(1 << 20)
    left = (count + BLOCK - 1) // BLOCK * BLOCK
    while left:
        left -= out.write(chunk[: min(left, len(chunk))])
    out.write(bytes(2 * BLOCK))


def main():
    form, count = sys.argv[1], int(sys.argv[2])
    {"entries": write_entries, "bytes": write_bytes}[form](sys.stdout.buffer, count)


if __name__ == "__main__":
    main()
