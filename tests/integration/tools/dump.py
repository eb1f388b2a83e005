#!/usr/bin/python3
"""A file tree as text, a line an entry, however the tree comes: as a folder, a tar, an image.

    dump.py folder DIR        what lstat says (as root where owners matter)
    dump.py tar FILE          one tar, applied to nothing
    dump.py image ARCHIVE     a docker archive or OCI layout: all layers of its image, merged
    dump.py entries FILE      the entries of one layer in their order, whiteouts by their names
    dump.py guest DIR         a tree as guest_dump.sh saw it from inside

Options: --name NAME:TAG (image) chooses one of several; --layers N merges only the lowest N;
--no-mtime and --no-dir-mtime leave times out; --exclude /PATH (repeated) leaves a subtree out.

    PATH TYPE MODE UID:GID SIZE MTIME [DEVICE | -> TARGET | sha256:CONTENT] [=FIRST-NAME] [XATTR=HEX]...

TYPE is find's letter; SIZE is '-' where it is no regular file's; FIRST-NAME is the first path of
a file with several names. Bytes of paths outside printable ASCII, spaces and backslashes are \\xNN.
This is written from the OCI image-spec (layer.md) and knows nothing of how layervm does it.
"""

import argparse
import hashlib
import io
import json
import os
import stat
import sys
import tarfile
from dataclasses import dataclass, field

XATTR_PREFIX = "SCHILY.xattr."
WHITEOUT = b".wh."
OPAQUE = b".wh..wh..opq"


class BadLayer(Exception):
    """A layer that cannot be applied."""


@dataclass
class Inode:
    kind: str
    mode: int = 0o755
    uid: int = 0
    gid: int = 0
    mtime: str = "0"
    size: int = 0
    extra: str = ""  # device, target or digest
    xattrs: dict = field(default_factory=dict)


def escape(path):
    return "".join(chr(b) if 0x20 < b < 0x7F and b != 0x5C else f"\\x{b:02x}" for b in path)


def time_text(seconds, nanoseconds):
    return f"{seconds}.{nanoseconds:09d}"


def pax_time(text):
    """A pax record's decimal as seconds and exactly nine digits: no float keeps those."""
    whole, _, fraction = text.partition(".")
    seconds = int(whole or "0")
    nanoseconds = int((fraction + "0" * 9)[:9])
    if whole.startswith("-") and nanoseconds:
        return time_text(seconds - 1, 10**9 - nanoseconds)
    return time_text(seconds, nanoseconds)


def find_time(text):
    """find's %T@ is tv_sec, a dot and tv_nsec, before 1970 too."""
    seconds, _, fraction = text.partition(".")
    return time_text(int(seconds), int((fraction + "0" * 9)[:9]))


def digest(stream):
    found = hashlib.sha256()
    while block := stream.read(1 << 20):
        found.update(block)
    return "sha256:" + found.hexdigest()


def raw(text):
    return os.fsencode(text)


# -- a folder ---------------------------------------------------------------------------------

KINDS = (
    (stat.S_ISREG, "f"),
    (stat.S_ISDIR, "d"),
    (stat.S_ISLNK, "l"),
    (stat.S_ISFIFO, "p"),
    (stat.S_ISCHR, "c"),
    (stat.S_ISBLK, "b"),
    (stat.S_ISSOCK, "s"),
)


def from_folder(top):
    """{path: inode}; names of one file share the inode."""
    tree = {}
    by_number = {}

    def add(path, host):
        status = os.lstat(host)
        key = (status.st_dev, status.st_ino)
        if key in by_number and not stat.S_ISDIR(status.st_mode):
            tree[path] = by_number[key]
            return
        kind = next(letter for test, letter in KINDS if test(status.st_mode))
        inode = Inode(kind, stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid)
        inode.mtime = time_text(*divmod(status.st_mtime_ns, 10**9))
        if kind == "f":
            inode.size = status.st_size
            with open(host, "rb") as stream:
                inode.extra = digest(stream)
        elif kind == "l":
            inode.extra = "-> " + escape(os.readlink(host))
        elif kind in "cb":
            inode.extra = f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"
        for name in os.listxattr(host, follow_symlinks=False):
            inode.xattrs[name] = os.getxattr(host, name, follow_symlinks=False)
        tree[path] = by_number[key] = inode

    top = raw(top)
    add(b"/", top)
    waiting = [b"/"]
    while waiting:
        folder = waiting.pop()
        for name in os.listdir(top + folder):
            path = os.path.join(folder, name)
            add(path, top + path)
            if tree[path].kind == "d":
                waiting.append(path)
    return tree


# -- tars -------------------------------------------------------------------------------------


def open_tar(stream):
    return tarfile.open(fileobj=stream, mode="r:*", encoding="utf-8", errors="surrogateescape")


def member_path(name):
    parts = [part for part in raw(name).split(b"/") if part not in (b"", b".")]
    if b".." in parts:
        sys.exit(f"dump.py: a name with '..': {name!r}")
    return b"/" + b"/".join(parts)


def member_inode(archive, member):
    kinds = {
        tarfile.DIRTYPE: "d",
        tarfile.SYMTYPE: "l",
        tarfile.FIFOTYPE: "p",
        tarfile.CHRTYPE: "c",
        tarfile.BLKTYPE: "b",
    }
    inode = Inode(kinds.get(member.type, "f"), member.mode & 0o7777, member.uid, member.gid)
    inode.mtime = pax_time(member.pax_headers.get("mtime", str(int(member.mtime))))
    if inode.kind == "f":
        inode.size = member.size
        inode.extra = digest(archive.extractfile(member))
    elif inode.kind == "l":
        inode.mode = 0o777  # a symlink's mode in a tar means nothing; Linux has this one only
        inode.extra = "-> " + escape(raw(member.linkname))
    elif inode.kind in "cb":
        inode.extra = f"{member.devmajor}:{member.devminor}"
    for key, value in member.pax_headers.items():
        if key.startswith(XATTR_PREFIX):
            inode.xattrs[key[len(XATTR_PREFIX) :]] = value.encode("utf-8", "surrogateescape")
    return inode


def remove(tree, path, itself=True):
    below = path.rstrip(b"/") + b"/"
    for name in [name for name in tree if name.startswith(below) and name != path]:
        del tree[name]
    if itself:
        tree.pop(path, None)


def apply_layer(tree, stream):
    """One layer onto the tree: what it hides is hidden in the lower layers only."""
    with open_tar(stream) as archive:
        members = archive.getmembers()
        for member in members:
            folder, name = os.path.split(member_path(member.name))
            if name == OPAQUE:
                remove(tree, folder, itself=False)
            elif name.startswith(WHITEOUT):
                remove(tree, os.path.join(folder, name[len(WHITEOUT) :]))
        for member in members:
            path = member_path(member.name)
            if os.path.basename(path).startswith(WHITEOUT):
                continue
            parent = os.path.dirname(path)
            while parent not in tree:
                tree[parent] = Inode("d", mtime=time_text(0, 0))
                parent = os.path.dirname(parent)
            if tree[parent].kind != "d":
                raise BadLayer(f"{member.name!r}: below what is no folder")
            if member.islnk():
                inode = tree.get(member_path(member.linkname))
                if inode is None or inode.kind == "d":
                    raise BadLayer(f"{member.name!r}: a hard link to no file")
            else:
                inode = member_inode(archive, member)
            old = tree.get(path)
            if old is not None and not (old.kind == "d" and inode.kind == "d"):
                remove(tree, path)
            tree[path] = inode


def from_tar(path):
    tree = {}
    with open(path, "rb") as stream:
        apply_layer(tree, stream)
    return tree


def print_entries(path, chosen):
    with open(path, "rb") as stream, open_tar(stream) as archive:
        for member in archive:
            name = escape(raw(member.name))
            if member.islnk():
                print(name, "h", "=" + escape(raw(member.linkname)))
            else:
                inode = member_inode(archive, member)
                print(line(name, inode, None, chosen))


# -- images -----------------------------------------------------------------------------------


class Archive:
    """An image archive's members by name, symlinks among them followed."""

    def __init__(self, path):
        self.tar = tarfile.open(path)
        self.members = {os.path.normpath(m.name): m for m in self.tar.getmembers()}

    def has(self, name):
        return os.path.normpath(name) in self.members

    def open(self, name):
        member = self.members[os.path.normpath(name)]
        while member.issym():
            target = os.path.join(os.path.dirname(member.name), member.linkname)
            member = self.members[os.path.normpath(target)]
        return self.tar.extractfile(member)

    def json(self, name):
        return json.load(self.open(name))

    def blob(self, descriptor):
        return "blobs/" + descriptor["digest"].replace(":", "/")


def image_layers(archive, wanted):
    """The names of the members that are the chosen image's layers, lowest first."""
    if archive.has("manifest.json"):
        images = archive.json("manifest.json")
        if wanted:
            images = [image for image in images if wanted in (image["RepoTags"] or [])]
        return images[0]["Layers"]
    found = archive.json("index.json")["manifests"][0]
    while "index" in found["mediaType"] or "list" in found["mediaType"]:
        found = archive.json(archive.blob(found))["manifests"][0]
    return [archive.blob(layer) for layer in archive.json(archive.blob(found))["layers"]]


def from_image(path, wanted, count):
    tree = {}
    archive = Archive(path)
    for name in image_layers(archive, wanted)[:count]:
        data = archive.open(name)
        if data.read(1) == b"" or not any(data.read(511)):
            continue  # an empty layer: end-of-archive blocks and nothing else
        data.seek(0)
        # zstd is not in the standard library; a layer of it says so by failing to open.
        apply_layer(tree, io.BufferedReader(data))
    return tree


# -- a guest's own view -----------------------------------------------------------------------


def records(path, count):
    """The NUL-terminated fields of a file, in tuples of count."""
    with open(path, "rb") as stream:
        fields = stream.read().split(b"\0")[:-1]
    if len(fields) % count:
        sys.exit(f"dump.py: {path}: {len(fields)} fields are no multiple of {count}")
    return zip(*[iter(fields)] * count)


def from_guest(folder):
    tree = {}
    by_number = {}
    for fields in records(os.path.join(folder, "find"), 9):
        name, kind, mode, uid, gid, size, mtime, number, target = fields
        path = b"/" + name
        if number in by_number and kind != b"d":
            tree[path] = by_number[number]
            continue
        inode = Inode(kind.decode(), int(mode, 8), int(uid), int(gid), find_time(mtime.decode()))
        if kind == b"f":
            inode.size = int(size)
        elif kind == b"l":
            inode.extra = "-> " + escape(target)
        tree[path] = by_number[number] = inode
    for (text,) in records(os.path.join(folder, "sha256"), 1):
        tree[b"/" + text[66:].removeprefix(b"./")].extra = "sha256:" + text[:64].decode()
    for path, device in records(os.path.join(folder, "device"), 2):
        major, minor = device.split(b":")
        tree[b"/" + path].extra = f"{int(major, 16)}:{int(minor, 16)}"
    for path, name, value in records(os.path.join(folder, "xattr"), 3):
        tree[b"/" + path].xattrs[name.decode()] = bytes.fromhex(value.decode())
    return tree


# -- text -------------------------------------------------------------------------------------


def line(name, inode, first, chosen):
    words = [name, inode.kind, f"{inode.mode:04o}", f"{inode.uid}:{inode.gid}"]
    words.append(str(inode.size) if inode.kind == "f" else "-")
    if not chosen.no_mtime and not (chosen.no_dir_mtime and inode.kind == "d"):
        words.append(inode.mtime)
    if inode.extra:
        words.append(inode.extra)
    if first:
        words.append("=" + first)
    words += [f"{key}={value.hex()}" for key, value in sorted(inode.xattrs.items())]
    return " ".join(words)


def print_tree(tree, chosen):
    excluded = [raw(path).rstrip(b"/") for path in chosen.exclude]
    names = {}
    for path in sorted(tree):
        if any(path == top or path.startswith(top + b"/") for top in excluded):
            continue
        names.setdefault(id(tree[path]), []).append(path)
    for path in sorted(path for paths in names.values() for path in paths):
        paths = names[id(tree[path])]
        first = escape(paths[0]) if len(paths) > 1 else None
        print(line(escape(path), tree[path], first, chosen))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("form", choices=("folder", "tar", "image", "entries", "guest"))
    parser.add_argument("path")
    parser.add_argument("--name")
    parser.add_argument("--layers", type=int)
    parser.add_argument("--no-mtime", action="store_true")
    parser.add_argument("--no-dir-mtime", action="store_true")
    parser.add_argument("--exclude", action="append", default=[])
    chosen = parser.parse_args()
    if chosen.form == "entries":
        print_entries(chosen.path, chosen)
    elif chosen.form == "image":
        print_tree(from_image(chosen.path, chosen.name, chosen.layers), chosen)
    else:
        readers = {"folder": from_folder, "tar": from_tar, "guest": from_guest}
        print_tree(readers[chosen.form](chosen.path), chosen)


if __name__ == "__main__":
    main()
