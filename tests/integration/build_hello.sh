#!/bin/bash
# The thinnest path through all stages: `echo hi > /x` on a small base, and the archive that it
# gives, looked at whole.
. "${0%/*}/lib.sh"

base_busybox "$work/base.tar"
build --from "$work/base.tar" --run 'echo hi > /x' -t hello:world -o "$out/hello.tar"

echo "-- the new layer holds the file, below its folder, and nothing else"
top_layer "$out/hello.tar" "$work/layer.tar"
dump entries "$work/layer.tar" > "$work/entries"
same_text "$work/entries" <<ENTRIES
x f 0644 0:0 3 1.000000000 sha256:$(echo hi | sha256sum | cut -d' ' -f1)
ENTRIES

echo "-- the base's layer comes first, byte for byte"
[ "$(layers "$out/hello.tar" | wc -l)" = 2 ] || fail "two layers are expected"
cmp <(member "$work/base.tar" "$(layers "$work/base.tar")") \
  <(member "$out/hello.tar" "$(layers "$out/hello.tar" | head -n 1)")

echo "-- both layouts are there, each blob once, under its digest"
tar tf "$out/hello.tar" | grep -v '/$' | sed 's/[0-9a-f]\{64\}/DIGEST/' | sort > "$work/names"
same_text "$work/names" <<'NAMES'
blobs/sha256/DIGEST
blobs/sha256/DIGEST
blobs/sha256/DIGEST
blobs/sha256/DIGEST
index.json
manifest.json
oci-layout
NAMES
for name in $(tar tf "$out/hello.tar" | grep '^blobs/sha256/.'); do
  [ "${name##*/}" = "$(member "$out/hello.tar" "$name" | sha256sum | cut -d' ' -f1)" ] ||
    fail "$name is not what its name says"
done
[ "$(member "$out/hello.tar" oci-layout | jq -r .imageLayoutVersion)" = 1.0.0 ]

echo "-- the config says what was done"
config "$out/hello.tar" | jq -S '{architecture, os, created, config,
  types: .rootfs.type, layers: (.rootfs.diff_ids | length),
  history: [.history[] | {created, empty_layer}]}' > "$work/config"
jq -S . <<'CONFIG' | same_text "$work/config"
{
  "architecture": "amd64", "os": "linux", "created": "1970-01-01T00:00:01Z",
  "config": {"Env": ["PATH=/bin", "BASE=yes"], "Cmd": ["/bin/sh"], "Labels": {"from": "base"}},
  "types": "layers", "layers": 2,
  "history": [
    {"created": "2020-01-01T00:00:00Z", "empty_layer": null},
    {"created": "1970-01-01T00:00:01Z", "empty_layer": null}
  ]
}
CONFIG
[ "$(config "$out/hello.tar" | jq -r '.rootfs.diff_ids[1]')" = \
  "sha256:$(sha256sum < "$work/layer.tar" | cut -d' ' -f1)" ] || fail "the diff ID is wrong"

echo "-- skopeo reads both layouts, and sees one image in them"
if is_missing skopeo; then
  not_here "$lacking"
  exit
fi
skopeo inspect "docker-archive:$out/hello.tar" > "$work/docker.json"
skopeo inspect "oci-archive:$out/hello.tar" > "$work/oci.json"
for key in .Architecture .Os .Created .Env .Labels '.Layers | length'; do
  [ "$(jq -c "$key" "$work/docker.json")" = "$(jq -c "$key" "$work/oci.json")" ] ||
    fail "skopeo sees $key differently in the two layouts"
done
[ "$(jq -c '.Layers[1]' "$work/docker.json")" = \
  "\"sha256:$(sha256sum < "$work/layer.tar" | cut -d' ' -f1)\"" ] || fail "skopeo's new layer is another"
skopeo inspect "docker-archive:$out/hello.tar:docker.io/library/hello:world" > "$work/tagged.json"
