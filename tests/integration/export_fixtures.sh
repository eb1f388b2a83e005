#!/bin/bash
# Archives that other projects' tools wrote, exported: the very tree that umoci unpacks from each
# of them; what is broken is refused in one line.
. "${0%/*}/lib.sh" || exit
expect_command=(export)

if without fixtures || [ -z "${LAYERVM_FIXTURES-}" ]; then
  skip fixtures "LAYERVM_FIXTURES names no folder of image archives"
fi
fixtures=$LAYERVM_FIXTURES
oracle=
if ! is_missing root umoci skopeo; then
  oracle=umoci
else
  not_here "$lacking" "umoci and skopeo as root; dump.py's own merge is the only oracle"
fi

# of FIXTURE NAME SOURCE: NAME chooses one of several images; SOURCE is what skopeo calls it.
of() {
  local fixture=$1 name=$2 source=$3 choose=() model=()
  echo "-- $fixture $name"
  if [ -n "$name" ]; then
    choose=(--image "$name")
    model=(--name "$name")
  fi
  lv export -q "$fixtures/$fixture" "${choose[@]}" -o "$work/rootfs.tar"
  dump tar "$work/rootfs.tar" > "$work/found.dump"
  dump image "$fixtures/$fixture" "${model[@]}" > "$work/expected.dump"
  # An image of nothing has its root, of which no layer says anything.
  [ -s "$work/expected.dump" ] || echo '/ d 0755 0:0 - 0.000000000' > "$work/expected.dump"
  same "$work/expected.dump" "$work/found.dump"
  [ -n "$oracle" ] || return 0
  umoci_rootfs "$source" "$work/rootfs"
  # A folder that no layer has an entry for gets umoci's own time.
  dump folder "$work/rootfs" --no-dir-mtime > "$work/expected.dump"
  dump tar "$work/rootfs.tar" --no-dir-mtime > "$work/found.dump"
  same "$work/expected.dump" "$work/found.dump"
  rm -rf "$work/rootfs"
}

gzip -dc "$fixtures/alpine-3.9.docker.tar.gz" > "$work/alpine-3.9.docker.tar"
of alpine-3.9.docker.tar.gz '' "docker-archive:$work/alpine-3.9.docker.tar"
of alpine-3.14.containerd.tar '' "oci-archive:$fixtures/alpine-3.14.containerd.tar"
of busybox-1.31.1.oci.tar '' "oci-archive:$fixtures/busybox-1.31.1.oci.tar"
for fixture in busybox dive-14-layers gz-layers-whiteouts pause symlinks whiteout-file \
  overwritten-file; do
  of "$fixture.docker.tar" '' "docker-archive:$fixtures/$fixture.docker.tar"
done
of hello-world-docker25.tar '' "docker-archive:$fixtures/hello-world-docker25.tar:@0"

# images FIXTURE: the names of the images in it.
images() {
  member "$fixtures/$1" manifest.json | jq -r '.[].RepoTags[]'
}
for fixture in two-images two-images-symlinked-layer; do
  index=0
  for name in $(images "$fixture.docker.tar"); do
    of "$fixture.docker.tar" "$name" "docker-archive:$fixtures/$fixture.docker.tar:@$index"
    index=$((index + 1))
  done
done

echo "-- an archive of before Docker 1.10, which no other tool reads any more"
lv export -q "$fixtures/no-manifest.tar" -o "$work/rootfs.tar"
tar tf "$fixtures/no-manifest.tar" | grep '/layer\.tar$' > "$work/layers"
[ "$(wc -l < "$work/layers")" = 1 ] || fail "the fixture has other layers"
member "$fixtures/no-manifest.tar" "$(cat "$work/layers")" > "$work/layer.tar"
dump tar "$work/layer.tar" > "$work/expected.dump"
dump tar "$work/rootfs.tar" > "$work/found.dump"
same "$work/expected.dump" "$work/found.dump"

echo "-- what is broken is refused"
for fixture in "$fixtures"/BAD-*; do
  expect_fail 125 "input: .*${fixture##*/}" -q "$fixture" -o "$out/x.tar"
done
expect_fail 125 'input: .*nightly.*test_image_1.*test_image_3' -q \
  "$fixtures/two-images-symlinked-layer.docker.tar" --image bazel/v1/tarball:nightly -o "$out/x.tar"
