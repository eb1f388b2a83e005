#!/usr/bin/python3
"""Image archives that mean harm, one for each known kind of it, and what must come of each.

    hostile.py FOLDER CANARY

Writes NAME.tar for each to FOLDER, and prints a line for each: NAME, a tab, and either "refuse", a
tab and words that the message must have, or "take", a tab and the paths of the merged tree with
their types. CANARY is a folder outside that every one of them is after.
"""

import hashlib
import io
import json
import os
import sys
import tarfile


def entry(name, kind=tarfile.REGTYPE, data=b"", link="", **fields):
    info = tarfile.TarInfo(name)
    info.type = kind
    info.size = len(data)
    info.linkname = link
    for field, value in fields.items():
        setattr(info, field, value)
    return info, data


def folder(name, **fields):
    return entry(name, tarfile.DIRTYPE, mode=0o755, **fields)


def symlink(name, target):
    return entry(name, tarfile.SYMTYPE, link=target)


def hardlink(name, target):
    return entry(name, tarfile.LNKTYPE, link=target)


def device(name):
    return entry(name, tarfile.CHRTYPE, devmajor=1, devminor=3)


def layer(*entries):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for info, data in entries:
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def resized(data, size):
    """The first member's size field, and the header's sum, made anew."""
    header = bytearray(data[:512])
    header[124:136] = size
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + data[512:]


def image(path, *layers, layer_names=None, config_name="config.json", links=()):
    digests = [hashlib.sha256(data).hexdigest() for data in layers]
    names = layer_names or [f"{number}/layer.tar" for number in range(len(layers))]
    config = {
        "architecture": "amd64",
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": ["sha256:" + digest for digest in digests]},
    }
    manifest = [{"Config": config_name, "RepoTags": ["hostile:1"], "Layers": names}]
    with tarfile.open(path, "w") as archive:
        members = [entry("manifest.json", data=json.dumps(manifest).encode())]
        members.append(entry("config.json", data=json.dumps(config).encode()))
        members += [entry(f"{n}/layer.tar", data=data) for n, data in enumerate(layers)]
        for info, data in members:
            if info.name not in dict(links):
                archive.addfile(info, io.BytesIO(data))
        for name, target in links:
            archive.addfile(symlink(name, target)[0])


def main():
    out, canary = sys.argv[1:]
    up = "../" * 12 + canary.lstrip("/")
    evil = b"evil\n"
    small = layer(entry("x", data=evil))

    def refuse(name, words, *layers, **fields):
        image(os.path.join(out, name + ".tar"), *layers, **fields)
        print(name, "refuse", words, sep="\t")

    def take(name, tree, *layers):
        image(os.path.join(out, name + ".tar"), *layers)
        print(name, "take", tree, sep="\t")

    # The root itself as something else: CVE-2021-29136.
    refuse("root-is-symlink", "root", layer(symlink(".", canary), entry("x", data=evil)))
    refuse("root-is-symlink-slash", "root", layer(symlink("./", up), entry("x", data=evil)))
    refuse("root-is-file", "root", layer(entry(".", data=evil)))
    refuse("root-is-device", "root", layer(device(".")))
    refuse("root-is-hard-link", "root", layer(entry("x"), hardlink(".", "x")))

    # Names that lead out, in entries.
    refuse("dotdot", '"\\.\\."', layer(entry(up + "/x", data=evil)))
    refuse("dotdot-inside", '"\\.\\."', layer(folder("a"), entry("a/../../x", data=evil)))
    take("dotdot-stays", "/ d /b f", layer(entry("a/../b", data=evil)))
    long = "/".join(["a"] * 200000)
    refuse("path-long", "a path of 400000 bytes; the most is 4095", layer(*(entry(n + long) for n in "bcde")))
    refuse("dotdot-link", '"\\.\\."', layer(hardlink("x", up + "/canary")))
    refuse("dotdot-whiteout", '"\\.\\."', layer(entry(up + "/.wh.canary")))
    refuse("dotdot-opaque", '"\\.\\."', layer(entry(up + "/.wh..wh..opq")))
    refuse("whiteout-of-dotdot", "whiteout", small, layer(entry(".wh...")))
    take("absolute", "/ d /etc d /etc/x f", layer(entry("/etc/x", data=evil)))

    # Links that lead out.
    refuse("hard-link-out", "not there", layer(hardlink("x", canary + "/canary")))
    refuse("hard-link-through", "not there", layer(symlink("a", canary), hardlink("x", "a/canary")))
    refuse("symlink-then-file", "not there", layer(symlink("a", canary), entry("a/x", data=evil)))
    refuse("symlink-up-then-file", "not there", layer(symlink("a", up), entry("a/x", data=evil)))
    refuse(
        "symlink-below-then-file",
        "not there",
        layer(symlink("a", canary)),
        layer(entry("a/x", data=evil)),
    )
    refuse("symlink-to-itself", "loop", layer(symlink("a", "a"), entry("a/x", data=evil)))
    take("whiteout-through-symlink", "/ d /a l", layer(symlink("a", canary), entry("a/.wh.canary")))
    take("symlink-kept-inside", "/ d /a l /b d /b/x f",
         layer(folder("b"), symlink("a", "../../b"), entry("a/x", data=evil)))

    # Entries that come twice, or are what others need to be folders.
    take("duplicates", "/ d /x f",
         layer(symlink("x", canary), entry("x", data=b"1"), entry("x", data=b"2")))
    take("symlink-over-folder", "/ d /a l",
         layer(folder("a"), entry("a/x")), layer(symlink("a", canary)))
    refuse("device-as-parent", "no directory", layer(device("dev"), entry("dev/x", data=evil)))
    refuse("file-as-parent", "no directory", layer(entry("f"), entry("f/x", data=evil)))
    refuse("hard-link-to-folder", "directory", layer(folder("a"), hardlink("b", "a")))

    # Sizes that lie.
    plain = layer(entry("x", data=b"1" * 1000))
    refuse("size-beyond-end", "at byte|ends after", resized(plain, b"00000777777\0"))
    refuse("size-huge", "at byte|ends after", resized(plain, b"77777777777\0"))
    refuse("size-negative", "at byte|negative|size", resized(plain, b"\xff" * 12))
    refuse("size-2-to-62", "at byte|ends after|size",
           resized(plain, b"\x80\0\0\0\x40\0\0\0\0\0\0\0"))
    pax = entry("x", data=b"1")
    pax[0].pax_headers = {"size": "9" * 18}
    refuse("size-in-pax", "at byte|ends after", layer(pax))

    # Names of members of the archive itself.
    refuse("layers-dotdot", "no member", small, layer_names=[up + "/layer.tar"])
    refuse("layers-absolute", "no member", small, layer_names=[canary + "/layer.tar"])
    refuse("config-dotdot", "no member", small, config_name=up + "/config.json")
    refuse("layer-symlink-out", "no member", small, links=[("0/layer.tar", up + "/layer.tar")])
    refuse("layer-symlink-absolute", "no member", small, links=[("0/layer.tar", canary + "/layer.tar")])
    refuse("layer-symlink-loop", "40 links", small, links=[("0/layer.tar", "layer.tar")])


if __name__ == "__main__":
    main()
