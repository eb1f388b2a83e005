#!/usr/bin/python3
"""A root file system tar with some of everything, which libguestfs takes for an operating system.

    system.py FILE NAME BUSYBOX FSTAB

NAME tells one such system from another; BUSYBOX is the host's static one, the system's shell; FSTAB
is the text of its /etc/fstab.
"""

import io
import sys
import tarfile

FOLDERS = ("bin", "boot", "dev", "etc", "home", "opt", "proc", "sys", "tmp", "usr", "var")
# In the kernel's form: linux/posix_acl_xattr.h, linux/capability.h.
ACL = (
    b"\2\0\0\0\1\0\6\0\xff\xff\xff\xff\2\0\4\0\xd2\4\0\0"
    b"\4\0\4\0\xff\xff\xff\xff\x10\0\4\0\xff\xff\xff\xff\x20\0\0\0\xff\xff\xff\xff"
)
CAPABILITY = b"\1\0\0\2\0\x20\0\0" + bytes(12)


def record(value):
    return value.decode("utf-8", "surrogateescape")


def entry(
    name,
    data=b"",
    kind=tarfile.REGTYPE,
    mode=0o644,
    owner=(0, 0),
    link="",
    device=(0, 0),
    time="1234567890.123456789",
    **attributes,
):
    """Two underscores in an attribute's name stand for a dot."""
    member = tarfile.TarInfo("./" + name)
    member.type, member.mode, member.linkname = kind, mode, link
    member.uid, member.gid = owner
    member.devmajor, member.devminor = device
    member.size = len(data)
    member.pax_headers = {"mtime": time}
    for key, value in attributes.items():
        member.pax_headers["SCHILY.xattr." + key.replace("__", ".")] = record(value)
    return member, data


def folder(name, mode=0o755):
    return entry(name, kind=tarfile.DIRTYPE, mode=mode)


def system(name, busybox, fstab):
    os_release = f'ID=debian\nNAME={name}\nPRETTY_NAME="{name} 1"\nVERSION_ID="1"\n'
    return [
        folder(""),
        *(folder(path, mode=0o1777 if path == "tmp" else 0o755) for path in FOLDERS),
        entry("bin/busybox", busybox, mode=0o4755),
        entry("bin/sh", kind=tarfile.SYMTYPE, mode=0o777, link="busybox"),
        entry("etc/os-release", os_release.encode()),
        entry("etc/debian_version", f"12.1 {name}\n".encode()),
        entry("etc/fstab", fstab.encode()),
        entry("boot/grub.cfg", b"# nothing\n"),
        entry("opt/owner", b"1", owner=(70000, 4294967294), time="-1.75"),
        entry("opt/acl", b"2", mode=0o640, system__posix_acl_access=ACL),
        entry("opt/cap", b"3", mode=0o755, security__capability=CAPABILITY),
        entry("opt/attr", b"4", user__binary=b"\0\1\n=", trusted__t=b"x"),
        entry("opt/attr 2", kind=tarfile.LNKTYPE, link="./opt/attr"),
        entry("opt/new\nline \\ é " + record(b"\xff\xfe"), b"5"),
        entry("opt/sparse", bytes(3 << 20) + b"end" + bytes(1 << 20)),
        entry("opt/" + "long" * 60, b"6"),
        entry("opt/fifo", kind=tarfile.FIFOTYPE, mode=0o600),
        entry("opt/char", kind=tarfile.CHRTYPE, device=(0, 0)),
        # The highest device number that XFS can tell.
        entry("opt/block", kind=tarfile.BLKTYPE, mode=0o660, device=(259, 262143)),
        entry("opt/link", kind=tarfile.SYMTYPE, mode=0o777, link="/etc/passwd", time="5.000000001"),
        entry("opt/far", kind=tarfile.SYMTYPE, mode=0o777, link="x" * 1000),
    ]


def main():
    path, name, busybox, fstab = sys.argv[1:]
    with open(busybox, "rb") as file:
        entries = system(name, file.read(), fstab)
    # What is in a folder follows it: GNU tar sets its time then.
    entries.sort(key=lambda pair: pair[0].name.split("/"))
    form = {"format": tarfile.PAX_FORMAT, "encoding": "utf-8", "errors": "surrogateescape"}
    with tarfile.open(path, "w", **form) as tar:
        for member, data in entries:
            tar.addfile(member, io.BytesIO(data))


main()
