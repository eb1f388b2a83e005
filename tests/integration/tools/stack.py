#!/usr/bin/python3
"""A random image: a stack of layers with all that layers can hold, as a docker archive.

    stack.py SEED ARCHIVE [--layers N] [--entries N] [--plain] [--from LAYERS]

Every type of entry, whiteouts and opaque markers, hard links within and across layers, one type
over another, omitted folders, names that are odd, long or no UTF-8, owners above 65535, times
before 1970 and with nanoseconds, extended attributes. An entry that dump.py's model of layers
cannot apply is not taken, so the archive is a good one. The same seed gives the same archive.

--plain leaves out what umoci or Linux's own tools cannot represent or would make up: folders that
no entry is for, names that are no UTF-8, device numbers that do not fit, times before 1970.
--from SEED: the lowest two layers are those of the image of that other seed.
"""

import argparse
import copy
import hashlib
import io
import json
import os
import random
import sys
import tarfile

sys.dont_write_bytecode = True
from dump import OPAQUE, WHITEOUT, XATTR_PREFIX, BadLayer, apply_layer, member_path  # noqa: E402

NAMES = [b"a", b"b", b"c", b"dir", b"x.y", b"x-y", b"x", b"usr", b"etc", b"caf\xc3\xa9"]
ODD = [
    b"with space",
    b"new\nline",
    b"tab\there",
    b"back\\slash",
    b"quote'\"",
    b"$HOME",
    b"-rf",
    b"*",
    b"\xe2\x98\x83 snow",
    b"wh.x",
    b".whx",
    b"#",
    b"=",
    b"long" * 30,
    b"L" * 255,
]
NO_UTF8 = [b"\xff\xfe", b"latin\xe9", b"\xc3"]
XATTRS = [("user.a", 40), ("user.long.name", 200), ("trusted.t", 8), ("user.empty", 0)]
# cap_net_raw=ep, as setcap writes it: VFS_CAP_REVISION_2.
CAPABILITY = bytes.fromhex("0100000200200000000000000000000000000000")


def inside(path, top):
    return path == top or path.startswith(top.rstrip(b"/") + b"/")


def folders_between(top, path):
    """top, if it is not path itself, and the folders between the two."""
    while path != top:
        path = os.path.dirname(path)
        yield path


class Generator:
    def __init__(self, seed, plain):
        self.random = random.Random(seed)
        self.plain = plain
        self.lower = {}
        self.entries = []

    # -- one entry ----------------------------------------------------------------------------

    def pick(self, items):
        return self.random.choice(items)

    def chance(self, probability):
        return self.random.random() < probability

    def name(self):
        if self.chance(0.7):
            return self.pick(NAMES)
        return self.pick(ODD if self.plain or self.chance(0.7) else NO_UTF8)

    def state(self):
        """The tree as the model has it after the entries so far."""
        # Inodes are shared by their names, and never changed.
        tree = dict(self.lower)
        apply_layer(tree, io.BytesIO(layer_bytes(self.entries)))
        return tree

    def folder(self, state):
        folders = [path for path in state if state[path].kind == "d" and path.count(b"/") < 6]
        folder = self.pick(sorted(folders))
        if not self.plain and self.chance(0.1):
            folder = os.path.join(folder, self.name())
        return folder

    def path(self, state):
        """A new name, or one that is there."""
        if self.chance(0.3) and len(state) > 1:
            return self.pick(sorted(set(state) - {b"/"}))
        return os.path.join(self.folder(state), self.name())

    def metadata(self, info):
        info.mode = self.pick([0o644, 0o755, 0o600, 0o4755, 0o2755, 0o1777, 0o7777, 0o000, 0o640])
        info.uid = self.pick([0, 0, 1, 1000, 65534, 70000, 4000000])
        info.gid = self.pick([0, 0, 5, 1000, 65534, 70000, 4000000])
        seconds = self.pick([0, 1, 1700000000, 1234567890, 4102444800])
        if not self.plain and self.chance(0.1):
            seconds = self.pick([-1, -86400 * 365, 1 << 33])
        nanoseconds = self.pick([0, 0, 1, 500000000, 999999999])
        info.pax_headers["mtime"] = f"{seconds}.{nanoseconds:09d}" if nanoseconds else str(seconds)
        if info.type in (tarfile.REGTYPE, tarfile.DIRTYPE):
            # An empty value deletes a record by the letter of pax: umoci has no such attributes.
            for name, most in XATTRS[:-1] if self.plain else XATTRS:
                if self.chance(0.1):
                    value = bytes(self.random.randrange(256) for _ in range(most))
                    info.pax_headers[XATTR_PREFIX + name] = value.decode("utf-8", "surrogateescape")
        if info.type == tarfile.REGTYPE and self.chance(0.05):
            info.pax_headers[XATTR_PREFIX + "security.capability"] = CAPABILITY.decode(
                "utf-8", "surrogateescape"
            )

    def entry(self, path, kind):
        info = tarfile.TarInfo(os.fsdecode(self.pick([b"", b"./", b"/"]) + path[1:]))
        info.type = kind
        data = b""
        if kind == tarfile.REGTYPE:
            size = self.pick([0, 1, 100, 511, 512, 513, 4096, 70000])
            data = self.random.randbytes(size)
            info.size = size
        elif kind == tarfile.SYMTYPE:
            target = self.pick([b"a", b"../x", b"/usr/a", b"gone", b"t" * 150, self.name()])
            info.linkname = os.fsdecode(target)
        elif kind in (tarfile.CHRTYPE, tarfile.BLKTYPE):
            info.devmajor = self.pick([0, 1, 5, 255])
            info.devminor = self.pick([0, 3, 255, 1048575 if not self.plain else 256])
        self.metadata(info)
        return info, data

    def anything(self, state):
        """A random entry: (TarInfo, data), or None."""
        kind = self.pick(
            [tarfile.REGTYPE] * 6
            + [tarfile.DIRTYPE] * 5
            + [tarfile.SYMTYPE] * 2
            + [tarfile.LNKTYPE] * 4
            + [tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE]
        )
        path = self.path(state)
        if kind == tarfile.DIRTYPE and self.chance(0.1):
            path = b"/"
        if kind != tarfile.LNKTYPE:
            return self.entry(path, kind)
        files = sorted(p for p in state if state[p].kind != "d" and p != path)
        if self.plain:
            # umoci takes the link's own header for the file's metadata, no symlink's link, and
            # looks for the file only after what had the link's name is gone.
            files = [p for p in files if state[p].kind == "f" and not p.startswith(path + b"/")]
        if not files:
            return None
        target = self.pick(files)
        info = tarfile.TarInfo(os.fsdecode(path[1:]))
        info.type = tarfile.LNKTYPE
        info.linkname = os.fsdecode(self.pick([b"", b"./", b"/"]) + target[1:])
        self.metadata(info)
        if self.plain:
            inode = state[target]
            info.mode, info.uid, info.gid = inode.mode, inode.uid, inode.gid
            info.pax_headers = {"mtime": inode.mtime}
            for name, value in inode.xattrs.items():
                text = value.decode("utf-8", "surrogateescape")
                info.pax_headers[XATTR_PREFIX + name] = text
        return info, b""

    # -- one layer ----------------------------------------------------------------------------

    def whiteout(self):
        lower = sorted(set(self.lower) - {b"/"})
        if not lower:
            return None
        path = self.pick(lower)
        if self.chance(0.2):
            path = os.path.join(os.path.dirname(path), b"never")
        if self.chance(0.3) and self.lower.get(path) and self.lower[path].kind == "d":
            name = os.path.join(path, OPAQUE)
        else:
            folder, name = os.path.split(path)
            if len(name) > 251:
                return None
            name = os.path.join(folder, WHITEOUT + name)
        below = [n for n in map(member_path, (i.name for i, _ in self.entries)) if inside(n, path)]
        if below and self.plain:
            # umoci keeps the old owner and mode of a folder that an entry brings back.
            return None
        # Nor may it be late that a folder is hidden which an entry has brought back unsaid.
        said = set(below)
        unsaid = any(above not in said for n in below for above in folders_between(path, n))
        return tarfile.TarInfo(os.fsdecode(name[1:])), not unsaid and self.chance(0.4)

    def add(self, entries):
        old = self.entries
        self.entries = entries
        try:
            self.state()
        except BadLayer:
            self.entries = old

    def layer(self, count):
        self.entries = []
        for _ in range(count):
            if self.chance(0.2) and self.lower:
                whiteout = self.whiteout()
                if whiteout is None:
                    continue
                info, late = whiteout
                entry = (info, b"")
                self.add(self.entries + [entry] if late else [entry] + self.entries)
                continue
            state = self.state()
            if not state:
                self.add(self.entries + [self.entry(b"/", tarfile.DIRTYPE)])
                continue
            entry = self.anything(state)
            if entry is not None:
                self.add(self.entries + [entry])
        self.lower = self.state()
        return layer_bytes(self.entries)


def layer_bytes(entries):
    out = io.BytesIO()
    with tarfile.open(
        fileobj=out, mode="w", format=tarfile.PAX_FORMAT, encoding="utf-8", errors="surrogateescape"
    ) as archive:
        for info, data in entries:
            # A TarInfo is changed when it is written.
            archive.addfile(copy.copy(info), io.BytesIO(data))
    return out.getvalue()


def add_member(archive, name, data):
    info = tarfile.TarInfo(name)
    info.size = len(data)
    archive.addfile(info, io.BytesIO(data))


def write_archive(path, layers, tag):
    digests = [hashlib.sha256(layer).hexdigest() for layer in layers]
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": ["sha256:" + digest for digest in digests]},
    }
    text = json.dumps(config).encode()
    config_name = hashlib.sha256(text).hexdigest() + ".json"
    names = [f"{digest}/layer.tar" for digest in digests]
    manifest = [{"Config": config_name, "RepoTags": [tag], "Layers": names}]
    with tarfile.open(path, "w") as archive:
        add_member(archive, "manifest.json", json.dumps(manifest).encode())
        add_member(archive, config_name, text)
        for name, layer in dict(zip(names, layers)).items():
            add_member(archive, name, layer)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("seed", type=int)
    parser.add_argument("archive")
    parser.add_argument("--layers", type=int, default=5)
    parser.add_argument("--entries", type=int, default=40)
    parser.add_argument("--plain", action="store_true")
    parser.add_argument("--from", dest="base", type=int)
    chosen = parser.parse_args()
    generator = Generator(chosen.seed if chosen.base is None else chosen.base, chosen.plain)
    layers = []
    for number in range(chosen.layers):
        if number == 2 and chosen.base is not None:
            generator.random = random.Random(chosen.seed)
        layers.append(generator.layer(chosen.entries))
    write_archive(chosen.archive, layers, f"stack:{chosen.seed}")


if __name__ == "__main__":
    main()
