#!/usr/bin/env python3
"""one_layer.py ROOTFS_TAR BLOB gzip|zstd OUT: an OCI archive whose one layer is BLOB, which is
ROOTFS_TAR compressed."""
import hashlib
import io
import json
import sys
import tarfile


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def descriptor(media_type, data, **more):
    return {"mediaType": media_type, "digest": digest(data), "size": len(data), **more}


def main():
    rootfs, blob, compression, out = sys.argv[1:]
    oci = "application/vnd.oci.image."
    with open(rootfs, "rb") as f:
        diff_id = digest(f.read())
    with open(blob, "rb") as f:
        layer = f.read()
    config = json.dumps({
        "architecture": "amd64", "os": "linux", "config": {},
        "rootfs": {"type": "layers", "diff_ids": [diff_id]},
    }).encode()
    manifest = json.dumps({
        "schemaVersion": 2,
        "config": descriptor(oci + "config.v1+json", config),
        "layers": [descriptor(oci + "layer.v1.tar+" + compression, layer)],
    }).encode()
    index = json.dumps({
        "schemaVersion": 2,
        "manifests": [descriptor(oci + "manifest.v1+json", manifest)],
    }).encode()
    members = {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}', "index.json": index}
    for data in (layer, config, manifest):
        members["blobs/sha256/" + digest(data)[7:]] = data
    with tarfile.open(out, "w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))


main()
