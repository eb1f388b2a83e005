#!/usr/bin/env python3
"""Makes tars whose headers say odd things, and compares what readers of tars see in them.

    tar_readers.py PROGRAM FOLDER SEED COUNT [umoci]
    tar_readers.py PROGRAM TAR...

PROGRAM is layervm. Of each tar it is to list what GNU tar, bsdtar, Python's tarfile and, with umoci,
Go's archive/tar see: names, types, sizes and targets; or to refuse the tar, in words that name an
entry or a place. FOLDER is for the tars; that of a failure stays there. With TAR_READERS_SHOW set the words
of refusals are shown. A TAR is to be taken.
"""
import hashlib
import io
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tarfile
import unicodedata

BLOCK = 512
END = bytes(2 * BLOCK)
POSIX, GNU, OLD = b"ustar\x0000", b"ustar  \x00", bytes(8)


def padded(data):
    return data + bytes(-len(data) % BLOCK)


def octal(number, width):
    return b"%0*o\0" % (width - 1, number)


def header(name, kind=b"0", size=0, magic=POSIX, **fields):
    """A header block. Fields are bytes of their own, put in as they are; sum: signed or wrong."""
    block = bytearray(BLOCK)

    def put(at, width, value):
        block[at : at + width] = value[:width].ljust(width, b"\0")

    put(0, 100, name)
    put(100, 8, fields.get("mode", octal(0o644, 8)))
    put(108, 8, fields.get("uid", octal(0, 8)))
    put(116, 8, fields.get("gid", octal(0, 8)))
    put(124, 12, fields.get("length", octal(size, 12)))
    put(136, 12, fields.get("mtime", octal(1000, 12)))
    put(156, 1, kind)
    put(157, 100, fields.get("link", b""))
    put(257, 8, magic)
    put(265, 32, fields.get("uname", b""))
    put(329, 8, fields.get("major", octal(0, 8) if magic != GNU else b""))
    put(337, 8, fields.get("minor", octal(0, 8) if magic != GNU else b""))
    put(345, 155, fields.get("prefix", b""))
    if "tail" in fields:
        put(345, 167, fields["tail"])
    put(148, 8, b" " * 8)
    how = fields.get("sum")
    total = sum(b - 256 if how == "signed" and b > 127 else b for b in block)
    put(148, 8, b"%06o\0 " % (total + (how == "wrong")))
    return bytes(block)


def record(key, value):
    rest = len(key) + len(value) + 3
    length = rest + len(str(rest))
    if len(str(length)) != len(str(rest)):
        length += 1
    return b"%d %s=%s\n" % (length, key, value)


def extended(records, kind=b"x"):
    return header(b"PaxHeaders/x", kind, len(records)) + padded(records)


def gnu_long(name, kind=b"L", end=b"\0"):
    return header(b"././@LongLink", kind, len(name + end), GNU) + padded(name + end)


class Maker:
    """Makes the entries of one tar, most of them as they should be."""

    def __init__(self, rng):
        self.rng = rng
        self.count = 0
        self.level = rng.choice([0, 0.25, 0.25, 1])

    def some(self, chance):
        return self.rng.random() < chance

    def odd(self, chance=0.1):
        return self.rng.random() < chance * self.level

    def name(self):
        self.count += 1
        base = b"n%d" % self.count
        extra = self.rng.choice([b"", b"", b"", b".x", "\u00e9".encode(), "e\u0301".encode(), b" "])
        parts = self.rng.choice([b"", b"", b"d/", b"./", b"long-directory-name/" * 6])
        return parts + base + extra + b"e"

    def number(self, value, width):
        """A number as a header field has it."""
        rng = self.rng
        if not self.odd(0.06):
            return octal(value, width)
        digits = b"%o" % value
        return rng.choice([
            digits.rjust(width - 1) + b" ",
            digits.rjust(width - 2) + b" \0",
            digits.rjust(width, b"0"),
            digits + b"\0" * (width - len(digits)),
            digits + b" " * (width - len(digits)),
            b"+" + digits, b"-" + digits, b"\t" + digits, b" " + digits + b"x",
            b"0x" + digits, b"0o" + digits, digits + b"8", digits + b"\0" + b"7",
            digits + b" 7", b"\0" + digits, b"", b" " * width,
            b"\x80" + value.to_bytes(width - 1, "big"),
            b"\x81" + value.to_bytes(width - 1, "big"),
            b"\xc0" + value.to_bytes(width - 1, "big"),
            b"\xff" * (width - 1) + b"\xfe", b"\xff" * width,
            b"\x80\x01" + value.to_bytes(width - 2, "big"),
        ])

    def decimal(self, value):
        rng = self.rng
        digits = b"%d" % value
        if not self.odd(0.3):
            return digits
        return rng.choice([
            b"0" + digits, b" " + digits, digits + b" ", b"+" + digits, b"-" + digits, b"",
            b"0x" + digits, digits + b"x", digits + b"\0", digits + b".0", b"1e1", b"%d" % (value + 512),
            b"\t" + digits, b"%d" % (1 << 63), b"%d" % (1 << 64), b"\xef\xbc\x95", b"1_0",
        ])

    def records(self, size, name):
        rng = self.rng
        out = []
        pick = lambda: rng.choice([
            lambda: record(b"size", self.decimal(size)),
            lambda: record(b"size", self.decimal(rng.choice([0, 1, 512, size]))),
            lambda: record(b"path", rng.choice([name, name, b"", b"p\0q", b"other", b"dir/", b"/abs/p"])),
            lambda: record(b"linkpath", rng.choice([b"target", b"", b"t\0u"])),
            lambda: record(b"uid", self.decimal(7)),
            lambda: record(b"mtime", rng.choice([b"-0.25", b"1.5", b"-7", b".5", b"1.", b"1e3", b" 1", b"x"])),
            lambda: record(b"comment", b"c\n12 size=700\n"),
            lambda: record(b"hdrcharset", rng.choice([b"BINARY", b"ISO-IR 10646 2000 UTF-8", b"x"])),
            lambda: record(b"GNU.sparse.realsize", self.decimal(size)),
            lambda: record(b"GNU.sparse.name", b"sparse-name"),
            lambda: record(b"GNU.sparse.size", self.decimal(size)),
            lambda: record(b"SCHILY.realsize", self.decimal(size)),
            lambda: record(b"SCHILY.xattr.user.a", b"\0\1=\n"),
            lambda: record(b" size", b"512"),
            lambda: b"%d size=%d\n" % (rng.choice([5, 9, 10, 11, 30, 0]), size),
            lambda: b" " + record(b"size", b"512"),
            lambda: b"0" + record(b"size", b"512"),
            lambda: b"8 size\n\n",
            lambda: record(b"size", b"512")[:-1] + b"x",
            lambda: b"\0" * rng.choice([1, 20]),
        ])()
        plain = lambda: rng.choice([
            record(b"size", b"%d" % size), record(b"path", name), record(b"mtime", b"12.25"),
            record(b"uid", b"%d" % rng.choice([0, 5, 1 << 22])), record(b"comment", b"x"),
        ])
        for _ in range(rng.randrange(1, 5)):
            out.append(pick() if self.odd(0.25) else plain())
        return b"".join(out)

    def sparse(self):
        """One of GNU's forms, perhaps with something wrong."""
        rng = self.rng
        name, form = self.name(), rng.choice(["old", "0.0", "0.1", "1.0", "1.0"])
        pieces = rng.choice([[(0, 512)], [(512, 512), (4096, 100)], [(1, 2), (3, 4), (100, 50)], []])
        real = pieces[-1][0] + pieces[-1][1] + rng.choice([0, 100]) if pieces else 1000
        if pieces and self.odd(0.3):
            pieces = rng.choice([pieces[::-1], pieces + [(real, 1)], pieces[:1] * 2])
        data = b"s" * sum(length for _, length in pieces)
        told = len(pieces) + (rng.choice([-1, 1]) if self.odd(0.1) else 0)
        if self.odd():
            data += b"t" * 600
        if self.odd():
            real = max(0, real + rng.choice([-50, 4000]))
        if form == "old":
            if len(pieces) > 4:
                pieces = pieces[:4]
            tail = bytes(41) + b"".join(octal(o, 12) + octal(n, 12) for o, n in pieces).ljust(97, b"\0")
            tail += self.number(real, 12).ljust(12, b"\0")
            magic = POSIX if self.odd(0.1) else GNU
            return header(name, b"S", len(data), magic, tail=tail) + padded(data)
        if form == "1.0":
            numbers = [told] + [n for piece in pieces for n in piece]
            lines = b"".join((self.decimal(n) if self.odd(0.05) else b"%d" % n) + b"\n" for n in numbers)
            data = padded(lines) + data
            keys = [(b"major", b"1"), (b"minor", b"0"), (b"name", name), (b"realsize", b"%d" % real)]
        else:
            keys = [(b"size", b"%d" % real), (b"numblocks", b"%d" % told)]
            if form == "0.1":
                numbers = [b"%d" % n for piece in pieces for n in piece]
                keys += [(b"name", name), (b"map", b",".join(numbers))]
            else:
                for offset, length in pieces:
                    keys += [(b"offset", b"%d" % offset), (b"numbytes", b"%d" % length)]
        if self.odd(0.15):
            keys.pop(rng.randrange(len(keys)))
        if self.odd(0.1):
            keys.insert(rng.randrange(len(keys)), rng.choice([(b"major", b"0"), (b"realsize", b"77"), (b"size", b"9")]))
        records = b"".join(record(b"GNU.sparse." + key, value) for key, value in keys)
        if self.odd():
            records += record(b"size", b"%d" % len(data))
        outer = name if form == "0.0" else b"GNUSparseFile.0/x%d" % self.count
        return extended(records) + header(outer, b"0", len(data)) + padded(data)

    def entry(self):
        rng = self.rng
        if self.some(0.12):
            return self.sparse()
        name = self.name()
        kind = rng.choice([b"0", b"0", b"0", b"\0", b"5", b"2", b"1", b"3", b"6"])
        if self.odd(0.02):
            kind = rng.choice([b"7", b"V", b"D", b"M", b"N", b"A", b"X", b"z", b"S"])
        data = bytes(rng.choice([b"a", b"b"])) * rng.choice([0, 1, 511, 512, 513, 1500])
        if kind not in (b"0", b"\0", b"7"):
            data = b"" if not self.odd(0.05) else data
        magic = rng.choice([POSIX, POSIX, POSIX, GNU, GNU, OLD])
        if self.odd(0.02):
            magic = rng.choice([b"ustar\0\0\0", b"ustar  x", b"ustar\x0001", b"ustarxxx", b"USTAR\x0000"])
        out = b""
        size = len(data)
        if magic == POSIX and self.some(0.3) or self.odd(0.05):
            out += extended(self.records(size, name))
            if self.odd(0.1):
                out += extended(self.records(size, name))
        if magic == GNU and self.some(0.3):
            out += gnu_long(name + b"L" * 120, end=b"\0x" if self.odd() else b"\0")
        if magic == GNU and (kind == b"2" or self.odd(0.05)) and self.some(0.5):
            out += gnu_long(b"l" * 120, b"K")
        if self.some(0.02):
            out += extended(record(b"comment", b"c"), b"g")
        if self.odd(0.03):
            out += extended(rng.choice([
                record(b"size", b"512"), record(b"path", b"all"),
                record(b"mtime", b"5"), b"", b"x",
            ]), b"g")
        if self.odd(0.02):
            out += extended(self.records(size, name))
        if kind == b"5" or self.odd(0.03):
            name = name[:99] + b"/"
        fields = {}
        if magic == POSIX and self.some(0.2):
            fields["prefix"] = rng.choice([b"pre", b"pre/", b"p" * 155])
        elif self.odd(0.02):
            fields["prefix"] = b"stray"
        if kind in b"12" or self.odd(0.03):
            fields["link"] = b"0first" if kind == b"1" else b"somewhere"
        for field, value, width in (("length", size, 12), ("mode", 0o644, 8), ("uid", 5, 8),
                                    ("mtime", 77, 12), ("major", 1, 8), ("minor", 3, 8)):
            if field in ("major", "minor") and kind != b"3":
                continue
            fields[field] = self.number(value, width)
        if self.odd(0.03):
            fields["tail"] = bytes(155) + b"tar\0".rjust(12)
        if self.odd(0.03):
            fields["sum"] = rng.choice(["signed", "signed", "wrong"])
        if len(name) > 100 and not self.odd(0.1):
            name = name[:90] + b"-%d" % self.count
        return out + header(name, kind, size, magic, **fields) + padded(data)

    def tar(self):
        rng = self.rng
        out = header(b"0first", b"0", 5) + padded(b"first")
        for _ in range(rng.randrange(1, 5)):
            out += self.entry()
            if self.odd(0.02):
                out += bytes(BLOCK * rng.choice([1, 2]))
        if self.odd(0.03):
            out += extended(record(b"path", b"last"))
        if self.odd(0.2):
            return out + rng.choice([b"", bytes(BLOCK)])
        out += rng.choice([END, END, END + header(b"late") + END])
        return out


# -- what readers see -----------------------------------------------------------------------------


def clean(name):
    """A name as a place: without what leads nowhere else."""
    parts = [part for part in name.split(b"/") if part not in (b"", b".")]
    return b"/".join(parts)


def settle(entries):
    """The last of entries with one name, as a tree has it: (name, type, size, target)."""
    return {name: rest for name, *rest in entries}


def unquote(text):
    return re.sub(rb"\\([0-7]{3}|.)", lambda m: bytes([int(m[1], 8)]) if len(m[1]) == 3 else
                  {b"n": b"\n", b"t": b"\t", b"\\": b"\\", b"b": b"\b", b"a": b"\a", b"f": b"\f",
                   b"r": b"\r", b"v": b"\v"}[m[1]], text)


def from_listing(text):
    """Lines of `tar tv`: mode owner size date time name."""
    out = []
    for line in text.splitlines():
        m = re.match(rb"(.)\S{9}\S* +\S+ +(\S+) +\S+ +\S+ +(.*)$", line, re.S)
        if m is None:
            raise ValueError(f"no line of a listing: {line!r}")
        kind, size, name = m[1].decode(), m[2], m[3]
        target = b""
        if kind == "h":
            name, target = name.split(b" link to ", 1)
        elif kind == "l":
            name, target = name.split(b" -> ", 1)
        number = int(size) if kind == "-" else 0
        out.append((clean(unquote(name)), kind, number, unquote(target) if kind == "l" else clean(unquote(target))))
    return settle(out)


def run(*command):
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)


def by_layervm(program, path):
    r = run(program, "export", "--quiet", "--list", path)
    if r.returncode == 0:
        listed = from_listing(r.stdout)
        return listed, ""
    return None, r.stderr.decode(errors="replace")


def by_gnu(path):
    r = run("tar", "-tvf", path, "--numeric-owner", "--quoting-style=escape", "--full-time")
    return (from_listing(r.stdout), None) if r.returncode == 0 else (None, r.stderr)


def by_python(path):
    kinds = {tarfile.REGTYPE: "-", tarfile.AREGTYPE: "-", tarfile.CONTTYPE: "-", tarfile.DIRTYPE: "d",
             tarfile.SYMTYPE: "l", tarfile.LNKTYPE: "h", tarfile.CHRTYPE: "c", tarfile.BLKTYPE: "b",
             tarfile.FIFOTYPE: "p", tarfile.GNUTYPE_SPARSE: "-"}
    out = []
    try:
        with tarfile.open(path, "r:", encoding="utf-8", errors="surrogateescape") as t:
            for i in t:
                raw = lambda s: s.encode("utf-8", "surrogateescape")
                kind = kinds.get(i.type, "-")
                target = raw(i.linkname) if kind in "lh" else b""
                out.append((clean(raw(i.name)), kind, i.size if kind == "-" else 0,
                            target if kind == "l" else clean(target)))
    except (tarfile.TarError, ValueError, OverflowError, EOFError, OSError) as e:
        return None, repr(e)
    return settle(out), None


def by_bsdtar(path):
    """Of names and targets with odd bytes bsdtar shows others, so mtree shows them."""
    r = run("bsdtar", "-cf", "-", "--format=mtree", "--options=!all,type,size,link", "@" + path)
    if r.returncode != 0:
        return None, r.stderr
    kinds = {b"file": "-", b"dir": "d", b"link": "l", b"char": "c", b"block": "b", b"fifo": "p"}
    out = []
    for line in r.stdout.splitlines():
        if line.startswith(b"#"):
            continue
        name, *words = line.split(b" ")
        said = dict(w.split(b"=", 1) for w in words if b"=" in w)
        kind = kinds[said[b"type"]]
        out.append((clean(unquote(name)), kind, int(said.get(b"size", b"0")) if kind == "-" else 0,
                    unquote(said.get(b"link", b"")) if kind == "l" else b""))
    return settle(out), None


def by_umoci(path, folder):
    """Go's reader: what umoci makes of an image with this layer."""
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder + "/l/blobs/sha256")

    def blob(data, media):
        digest = hashlib.sha256(data).hexdigest()
        with open(f"{folder}/l/blobs/sha256/{digest}", "wb") as f:
            f.write(data)
        return {"mediaType": media, "digest": "sha256:" + digest, "size": len(data)}

    with open(path, "rb") as f:
        layer = f.read()
    prefix = "application/vnd.oci.image."
    made = blob(layer, prefix + "layer.v1.tar")
    config = blob(json.dumps({"architecture": "amd64", "os": "linux", "rootfs": {
        "type": "layers", "diff_ids": [made["digest"]]}}).encode(), prefix + "config.v1+json")
    manifest = blob(json.dumps({"schemaVersion": 2, "config": config, "layers": [made]}).encode(),
                    prefix + "manifest.v1+json")
    manifest["annotations"] = {"org.opencontainers.image.ref.name": "x"}
    with open(folder + "/l/index.json", "w") as f:
        json.dump({"schemaVersion": 2, "manifests": [manifest]}, f)
    with open(folder + "/l/oci-layout", "w") as f:
        f.write('{"imageLayoutVersion":"1.0.0"}')
    r = run("umoci", "raw", "unpack", "--image", folder + "/l:x", folder + "/root")
    # Global headers and old sparse files are what umoci itself, not Go's reader, does not take.
    if re.search(rb"unknown typeflag '.x(67|53)'", r.stderr):
        return None, None
    if r.returncode != 0:
        return None, r.stderr
    out = {}
    root = os.fsencode(folder + "/root")
    for top, dirs, files in os.walk(root):
        for name in dirs + files:
            full = os.path.join(top, name)
            st = os.lstat(full)
            kind = {0o10: "-", 0o4: "d", 0o12: "l", 0o2: "c", 0o6: "b", 0o1: "p"}[st.st_mode >> 12]
            out[full[len(root) + 1 :]] = [kind, st.st_size if kind == "-" else 0,
                                          os.readlink(full) if kind == "l" else b""]
    return out, None


# -- comparing ------------------------------------------------------------------------------------


def links_as_files(entries):
    """Where a reader does not tell hard links from files, or shows the files that they are."""
    out = {}
    for name, (kind, size, target) in entries.items():
        seen = set()
        while kind == "h" and target in entries and target not in seen:
            seen.add(target)
            kind, size, target = entries[target]
        out[name] = [kind, size, target if kind == "l" else b""]
    return out


def as_bsdtar(entries):
    """bsdtar's listing has hard links as files of no size, and composes the characters of names."""
    out = {}
    for name, entry in entries.items():
        composed = unicodedata.normalize("NFC", name.decode(errors="surrogateescape"))
        out[composed.encode(errors="surrogateescape")] = ["-", 0, b""] if entry[0] == "h" else entry
    return out


def without_parents(entries):
    """A tree also has the directories above its entries, which an archive may leave out."""
    above = set()
    for name in entries:
        parts = name.split(b"/")
        above.update(b"/".join(parts[:i]) for i in range(1, len(parts)))
    return {n: list(e) for n, e in entries.items() if n != b"" and not (n in above and e[0] == "d")}


def differences(seen, other):
    a, b = without_parents(seen), without_parents(other)
    return [(n, a.get(n), b.get(n)) for n in sorted(a.keys() | b.keys()) if a.get(n) != b.get(n)]


def check(program, path, umoci):
    """Returns what is wrong, or None, and whether the tar was taken."""
    seen, words = by_layervm(program, path)
    if seen is None:
        named = re.match(r"layervm: input: (the root file system: .+: |\S+\.tar: )", words)
        return (None if named and words.count("\n") == 1 else "refused without a place: " + words), False, words
    readers = [("GNU tar", by_gnu, links_as_files), ("Python", by_python, links_as_files),
               ("bsdtar", by_bsdtar, as_bsdtar)]
    if umoci:
        readers.append(("umoci", lambda p: by_umoci(p, path + ".umoci"), links_as_files))
    for name, reader, settled in readers:
        other, why = reader(path)
        if other is None and why is None:
            continue
        if other is None:
            return f"taken, which {name} refuses: {why!r}", True, ""
        diff = differences(settled(seen), settled(other))
        if diff:
            return f"{name} sees another tree: (name, layervm, {name}) {diff}", True, ""
    return None, True, ""


def check_given(program, paths):
    bad = 0
    for path in paths:
        wrong, was_taken, words = check(program, path, False)
        if wrong is not None or not was_taken:
            print(f"{path}: {wrong or words}", file=sys.stderr)
            bad += 1
    print(f"   {len(paths)} tars, {len(paths) - bad} as they should be")
    sys.exit(1 if bad else 0)


def main():
    if not os.path.isdir(sys.argv[2]):
        check_given(sys.argv[1], sys.argv[2:])
    program, folder, seed, count = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    umoci = sys.argv[5:] == ["umoci"]
    taken = 0
    bad = 0
    for n in range(seed, seed + count):
        data = Maker(random.Random(n)).tar()
        path = f"{folder}/{n}.tar"
        with open(path, "wb") as f:
            f.write(data)
        wrong, was_taken, words = check(program, path, umoci)
        taken += was_taken
        if os.environ.get("TAR_READERS_SHOW") and words:
            print(n, words.strip())
        if wrong is not None:
            print(f"seed {n}: {wrong}", file=sys.stderr)
            bad += 1
            if bad > 20:
                break
        else:
            os.unlink(path)
    print(f"   {count} tars from seed {seed}: {taken} taken, {count - taken} refused")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
