#!/bin/bash
# Archives that other projects' tools wrote, as bases: each good one takes a new layer, and what
# umoci makes of the result is the fixture with it; each bad one is refused in one line.
. "${0%/*}/lib.sh"

if without fixtures || [ -z "${LAYERVM_FIXTURES-}" ]; then
  skip fixtures "LAYERVM_FIXTURES names no folder of image archives"
fi
fixtures=$LAYERVM_FIXTURES

# on FIXTURE [FLAG...]: builds on it with a guest; the result is the fixture's tree and /added.
on() {
  local fixture=$1 name=$2
  shift 2
  echo "-- $fixture $*"
  rm -f "$out/new.tar"
  build --from "$fixtures/$fixture" "$@" --run 'echo added > /added' -t new:1 -o "$out/new.tar"
  oracle "$fixture" "$name" > "$work/expected.dump"
  dump image "$out/new.tar" --exclude /added | grep -v '^/ d' > "$work/found.dump"
  same "$work/expected.dump" "$work/found.dump"
  top_layer "$out/new.tar" "$work/layer.tar"
  dump entries "$work/layer.tar" --no-mtime | grep -v '^\./* d' > "$work/entries"
  same_text "$work/entries" <<< \
    "added f 0644 0:0 6 sha256:$(echo added | sha256sum | cut -d' ' -f1)"
}

# oracle FIXTURE NAME: its merged tree without the root's own line.
oracle() {
  if [ -n "$2" ]; then
    dump image "$fixtures/$1" --name "$2"
  else
    dump image "$fixtures/$1"
  fi | grep -v '^/ d'
}

on alpine-3.9.docker.tar.gz ''
on alpine-3.14.containerd.tar ''
on busybox-1.31.1.oci.tar ''
on busybox.docker.tar ''
on dive-14-layers.docker.tar ''
on gz-layers-whiteouts.docker.tar ''
on pause.docker.tar ''
on symlinks.docker.tar ''
on hello-world-docker25.tar ''
on whiteout-file.docker.tar ''
on overwritten-file.docker.tar ''

echo "-- of two images the first is taken, and that is said; names choose"
on two-images.docker.tar ''
grep -q test_image_2 "$work/build.log" || fail "which image was taken is not said"
first=$(sha256sum < "$out/new.tar")
on two-images-symlinked-layer.docker.tar ''
on two-images-symlinked-layer.docker.tar bazel/v1/tarball:test_image_3 \
  --from-name bazel/v1/tarball:test_image_3
on two-images-symlinked-layer.docker.tar bazel/v1/tarball:test_image_1 \
  --from-name bazel/v1/tarball:test_image_1
[ "$first" != "$(sha256sum < "$out/new.tar")" ] || fail "two bases gave one archive"
rm "$out/new.tar"

cat > "$work/no-such-tag.json" <<SPEC
{"name": "x", "fromImage": "$fixtures/two-images-symlinked-layer.docker.tar",
 "fromImageName": "bazel/v1/tarball", "fromImageTag": "nightly"}
SPEC
expect_fail 125 'input: .*nightly.*test_image_1.*test_image_3' -q \
  "$work/no-such-tag.json" -o "$out/x.tar"

echo "-- what is broken is refused"
expect_fail 125 'input: .*BAD-layer-count' -q --from "$fixtures/BAD-layer-count.docker.tar" \
  --run true -t x:1 -o "$out/x.tar"
expect_fail 125 'input: .*BAD-null-manifest' -q --from "$fixtures/BAD-null-manifest.tar" \
  --run true -t x:1 -o "$out/x.tar"
