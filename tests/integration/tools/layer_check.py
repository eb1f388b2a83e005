#!/usr/bin/python3
"""Is a layer what lies between two trees, whole and minimal?

    layer_check.py BASE.dump RESULT.dump LAYER.tar
    layer_check.py BASE.dump RESULT.dump    prints what `layervm diff` must print

The dumps are dump.py's, with all options off. The layer must hold, once each and nothing else:
every entry that is new or different, all names of a file any of whose names is that, the folders
above those, and for what is gone one whiteout of its topmost entry, which stands before its
folder's other entries. A file that only lost names is no change, unless what lost them became two
files that are the same.
"""

import os
import re
import sys
import tarfile

sys.dont_write_bytecode = True
from dump import escape, member_path  # noqa: E402

WHITEOUT = b".wh."


class Tree:
    """A dump: lines by path, and the set of all names of the file at a path."""

    def __init__(self, file):
        self.lines = {}
        self.firsts = {}
        self.groups = {}
        with open(file, encoding="ascii") as dump:
            for line in dump:
                words = line.split()
                path = words[0]
                self.lines[path] = line
                for word in words[4:]:
                    if word.startswith("="):
                        self.firsts[path] = word[1:]
                        self.groups.setdefault(word[1:], set()).add(path)

    def names(self, path):
        return self.groups[self.firsts[path]] if path in self.firsts else {path}

    def is_folder(self, path):
        return path in self.lines and self.lines[path].split()[1] == "d"


def above(path):
    while path != "/":
        path = os.path.dirname(path)
        yield path


def without_links(line):
    words = line.split()
    return words[:4] + [word for word in words[4:] if not word.startswith("=")]


def is_part_of(base, result, path):
    """Whether a file is one of the base's, but for names that this one has besides."""
    return all(
        name in base.lines
        and base.names(name) == base.names(path)
        and without_links(base.lines[name]) == without_links(result.lines[name])
        for name in result.names(path)
    )


def changes(base, result):
    """The paths that changed or are new, and those that must be hidden."""
    wanted = set()
    for path in result.lines:
        if not is_part_of(base, result, path) or any(
            name in result.lines and is_part_of(base, result, name)
            for name in base.names(path) - result.names(path)
        ):
            wanted |= result.names(path)
    hidden = {
        path
        for path in base.lines
        if path not in result.lines and result.is_folder(os.path.dirname(path))
    }
    return wanted, hidden


def expected(base, result):
    """The paths that the layer must hold, and those that it must hide."""
    wanted, hidden = changes(base, result)
    for path in wanted | hidden:
        wanted = wanted.union(above(path))
    return wanted, hidden


def plain(path):
    """A dump's path as bytes."""
    return re.sub(rb"\\x([0-9a-f]{2})", lambda m: bytes.fromhex(m[1].decode()), path.encode())


def quoted(path):
    """A path as GNU tar and `layervm diff` show it."""
    letters = {"\\": "\\\\", "\n": "\\n", "\t": "\\t"}
    text = ""
    for character in path.decode("utf-8", "surrogateescape"):
        code = ord(character)
        if character in letters:
            text += letters[character]
        elif 0xDC80 <= code <= 0xDCFF:
            text += f"\\{code - 0xDC00:03o}"
        else:
            text += character
    return text


def print_changes(base, result):
    wanted, hidden = changes(base, result)
    # The root's time alone is no change.
    if [w for w in result.lines["/"].split() if "." not in w] == [
        w for w in base.lines["/"].split() if "." not in w
    ]:
        wanted.discard("/")
    for path in sorted(wanted | hidden, key=lambda path: plain(path).split(b"/")):
        letter = "D" if path in hidden else "C" if path in base.lines else "A"
        print(letter, quoted(plain(path)))


def main():
    base, result = Tree(sys.argv[1]), Tree(sys.argv[2])
    if len(sys.argv) == 3:
        print_changes(base, result)
        return 0
    wanted, whiteouts = expected(base, result)
    found, hidden, parents, faults = set(), set(), set(), []
    with tarfile.open(sys.argv[3], encoding="utf-8", errors="surrogateescape") as layer:
        for member in layer:
            raw = member_path(member.name)
            folder, name = os.path.split(raw)
            path = escape(raw)
            if name.startswith(WHITEOUT):
                path = escape(os.path.join(folder, name[len(WHITEOUT) :]))
                if escape(folder) in parents:
                    faults.append(f"a whiteout after its siblings: {path}")
            elif path != "/":
                parents.add(escape(folder))
            seen = hidden if name.startswith(WHITEOUT) else found
            if path in seen:
                faults.append(f"twice: {path}")
            if path != "/" and escape(folder) not in found | {"/"}:
                faults.append(f"before its folder: {path}")
            seen.add(path)
    # Whether the root itself is an entry is free where nothing of it changed.
    wanted.discard("/")
    found.discard("/")
    faults += [f"missing: {path}" for path in sorted(wanted - found)]
    faults += [f"needless: {path}" for path in sorted(found - wanted)]
    faults += [f"missing whiteout: {path}" for path in sorted(whiteouts - hidden)]
    faults += [f"needless whiteout: {path}" for path in sorted(hidden - whiteouts)]
    for fault in faults[:40]:
        print(f"layer_check.py: {fault}", file=sys.stderr)
    return 1 if faults else 0


sys.exit(main())
