#!/bin/bash
# Image documents as other tools write them, and what is said of those that are odd. No guest runs.
. "${0%/*}/lib.sh"

if is_missing skopeo; then
  skip "$lacking"
fi

mkdir "$work/one" "$work/two"
seq 1000 > "$work/one/numbers"
echo two > "$work/two/file"
build --copy "$work/one" -t base:1 --env A=1 --volume /a --expose 80 -o "$work/base.tar"
build --copy "$work/two" -t other:2 -o "$work/other.tar"
lv export -q "$work/base.tar" -o "$work/base.root"
lv export -q "$work/other.tar" -o "$work/other.root"

# exports_as ROOT SOURCE [FLAG...]: what a source holds is a root, byte for byte.
exports_as() {
  local expected=$1
  shift
  lv export -q "$@" -o "$out/root.tar"
  cmp "$expected" "$out/root.tar"
  rm "$out/root.tar"
}

# copy SOURCE DESTINATION [FLAG...]
copy() {
  local source=$1 destination=$2
  shift 2
  skopeo --insecure-policy copy -q "$@" "$source" "$destination"
}

echo "-- skopeo's dir: is read as a folder and as an archive of it"
copy "docker-archive:$work/base.tar" "dir:$work/dir"
exports_as "$work/base.root" "$work/dir"
tar -cf "$work/dir.tar" -C "$work/dir" .
exports_as "$work/base.root" "$work/dir.tar"
lv inspect -q --format json "$work/dir" > "$work/json"
[ "$(jq -r .layout "$work/json")" = dir ] || fail "the layout is not told"
printf x >> "$work/dir/$(jq -r '.layers[0].digest' "$work/dir/manifest.json" | cut -d: -f2)"
expect_command=(export)
expect_fail 125 'input: .*bytes, found ' -q "$work/dir" -o "$out/x.tar"

echo "-- a layout with tags for names: the tag is the name, and no other repository has it"
copy "docker-archive:$work/base.tar" "oci:$work/layout:tag1"
copy "docker-archive:$work/other.tar" "oci:$work/layout:tag2"
exports_as "$work/other.root" "$work/layout" --image tag2
build --from "$work/layout" --from-name tag2 --copy "$work/one" -t new:1 -o "$out/new.tar"
lv export -q "$out/new.tar" | tar -tf - > "$work/names"
grep -qx ./file "$work/names"
rm "$out/new.tar"
expect_fail 125 'input: .*has no image wrong/name:tag2; there are: tag1, tag2' -q "$work/layout" \
  --image wrong/name:tag2 -o "$out/x.tar"
expect_command=(build)
expect_fail 125 'input: .*has no image wrong/name:tag2; there are: tag1, tag2' -q \
  --from "$work/layout" --from-name wrong/name:tag2 --copy "$work/one" -t x:1 -o "$out/x.tar"

echo "-- a layout without the file oci-layout is one all the same"
rm "$work/layout/oci-layout"
exports_as "$work/base.root" "$work/layout" --image tag1

echo "-- Volumes and ExposedPorts are united, triggers are named"
mkdir "$work/docker"
tar -xf "$work/base.tar" -C "$work/docker"
config=$work/docker/$(jq -r '.[0].Config' "$work/docker/manifest.json")
jq '.config.OnBuild = ["RUN make", "COPY . /src"]' "$config" > "$work/docker/config"
jq '.[0].Config = "config"' "$work/docker/manifest.json" > "$work/manifest"
cp "$work/manifest" "$work/docker/manifest.json"
build --from "$work/docker" --copy "$work/two" --volume /b --expose 443/udp -t new:1 -o "$out/new.tar"
grep -q 'ONBUILD triggers, which are neither run nor kept: RUN make; COPY \. /src' "$work/build.log"
skopeo inspect --config "docker-archive:$out/new.tar" | jq -cS .config > "$work/config"
same_text "$work/config" <<< \
  '{"Env":["A=1"],"ExposedPorts":{"443/udp":{},"80/tcp":{}},"Volumes":{"/a":{},"/b":{}}}'
rm "$out/new.tar"

echo "-- more layers than docker load takes"
jq '.[0].Layers = [.[0].Layers[0] as $l | range(125) | $l]' "$work/manifest" \
  > "$work/docker/manifest.json"
jq '.rootfs.diff_ids = [.rootfs.diff_ids[0] as $l | range(125) | $l] | .history = []' "$config" \
  > "$work/docker/config"
build --from "$work/docker" --copy "$work/two" -t new:1 -o "$out/new.tar"
grep -q 'the image gets 126 layers, of which docker load takes 125' "$work/build.log"
rm "$out/new.tar"

echo "-- an archive that was packed with its folder"
tar -cf "$work/packed.tar" -C "$work" docker
lv export "$work/packed.tar" -o "$out/root.tar" 2> "$work/said"
grep -q 'looks like an image archive in a folder; tar -C docker -cf FILE \.' "$work/said"
rm "$out/root.tar"

echo "-- annotations of layers go on, through two builds, and skopeo takes the result"
copy "docker-archive:$work/base.tar" "oci:$work/zstd" --dest-compress-format zstd
manifest=$work/zstd/blobs/sha256/$(jq -r '.manifests[0].digest' "$work/zstd/index.json" | cut -d: -f2)
jq -c '.layers[0].annotations = {"io.github.containers.zstd-chunked.manifest-position": "1:2:3:1"}' \
  "$manifest" > "$work/annotated"
sum=$(sha256sum < "$work/annotated" | cut -d' ' -f1)
cp "$work/annotated" "$work/zstd/blobs/sha256/$sum"
jq -c --arg d "sha256:$sum" --argjson s "$(stat -c %s "$work/annotated")" \
  '.manifests[0].digest = $d | .manifests[0].size = $s' "$work/zstd/index.json" > "$work/index"
cp "$work/index" "$work/zstd/index.json"
build --from "$work/zstd" --copy "$work/two" -t first:1 -o "$work/first.tar"
build --from "$work/first.tar" --copy "$work/one" -t second:1 -o "$work/second.tar"
copy "oci-archive:$work/second.tar" "dir:$work/second"
jq -c '[.layers[].annotations]' "$work/second/manifest.json" > "$work/annotations"
same_text "$work/annotations" <<< \
  '[{"io.github.containers.zstd-chunked.manifest-position":"1:2:3:1"},null,null]'
