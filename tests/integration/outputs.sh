#!/bin/bash
# The files beside the archive: --iidfile and --metadata-file are written with it, or say why not
# before any work; no guest is needed for that.
. "${0%/*}/lib.sh"

mkdir "$work/root"
echo hello > "$work/root/file"
step=(--copy "$work/root" -t outputs:1)

echo "-- what cannot be written fails before the archive is there"
for flag in --iidfile --metadata-file; do
  expect_fail 125 'output: /nonexistent/file: ' "${step[@]}" -q -o "$out/image.tar" \
    "$flag" /nonexistent/file
done
expect_fail 125 'usage: --iidfile: is ' "${step[@]}" -q -o "$out/image.tar" \
  --iidfile "$out/../out/image.tar"

echo "-- a specification that is wrong is told in the metadata file too"
echo '{"nme": "x"}' > "$work/spec.json"
expect_fail 125 'spec: ' -q "$work/spec.json" -o "$out/image.tar" --metadata-file "$work/metadata.json"
[ "$(jq -r .end.kind "$work/metadata.json")" = spec ] || fail "the end is not told"

echo "-- flags that do not fit leave it alone: it may be the wrong file"
expect_fail 125 'usage: ' -q "${step[@]}" -o "$work/metadata.json" --metadata-file "$work/metadata.json"
[ "$(jq -r .end.kind "$work/metadata.json")" = spec ] || fail "the file was written"

echo "-- on success all three are there and agree"
build "${step[@]}" -o "$out/image.tar" --iidfile "$out/id" --metadata-file "$out/metadata.json"
[ "$(jq -r .end.kind "$out/metadata.json")" = success ] || fail "the end is not told"
[ "$(jq -r .image.id "$out/metadata.json")" = "$(cat "$out/id")" ] || fail "two image IDs"
tar -xOf "$out/image.tar" "blobs/sha256/$(sed s/sha256:// "$out/id")" | sha256sum > "$work/sum"
[ "sha256:$(cut -d' ' -f1 "$work/sum")" = "$(cat "$out/id")" ] || fail "the ID is no digest"
