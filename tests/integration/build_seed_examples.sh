#!/bin/bash
# The examples of buildImage's documentation, with the static busybox in the place of packages.
. "${0%/*}/lib.sh"

! is_missing busybox || skip "$lacking" "no busybox: install busybox-static"
mkdir -p "$work/redis/bin" "$work/hello/bin"
cp "$(command -v busybox)" "$work/redis/bin/redis-server"
cp "$(command -v busybox)" "$work/hello/bin/hello"
ln -s hello "$work/hello/bin/sh"

# image SPEC NAME: builds the spec (read from standard input) to $out/NAME.tar.
image() {
  cat > "$work/$1.json"
  build "$work/$1.json" -o "$out/$1.tar"
}

# new_entries NAME: "PATH TYPE MODE UID:GID" of the entries of the one layer of an image.
new_entries() {
  top_layer "$out/$1.tar" "$work/$1.layer"
  dump entries "$work/$1.layer" --no-mtime | cut -d' ' -f1-4
}

# config_is NAME: the image's `config` and `created` are those of standard input.
config_is() {
  config "$out/$1.tar" | jq -S '{config, created}' > "$work/$1.config"
  jq -S . | same_text "$work/$1.config"
}

echo "-- redis: scratch, copyToRoot, runAsRoot, config"
image redis <<'SPEC'
{
  "name": "redis", "tag": "latest",
  "copyToRoot": "redis",
  "runAsRoot": "mkdir -p /data\n",
  "config": {"Cmd": ["/bin/redis-server"], "WorkingDir": "/data", "Volumes": {"/data": {}}}
}
SPEC
new_entries redis > "$work/entries"
same_text "$work/entries" <<'ENTRIES'
bin d 0755 0:0
bin/redis-server f 0755 0:0
data d 0755 0:0
ENTRIES
config_is redis <<'CONFIG'
{"created": "1970-01-01T00:00:01Z",
 "config": {"Cmd": ["/bin/redis-server"], "WorkingDir": "/data", "Volumes": {"/data": {}}}}
CONFIG
[ "$(member "$out/redis.tar" manifest.json | jq -c '.[0].RepoTags')" = '["redis:latest"]' ]

echo "-- hello by runAsRoot"
image hello-root <<'SPEC'
{
  "name": "hello", "tag": "latest",
  "copyToRoot": ["hello"],
  "runAsRoot": "mkdir -p /data\necho \"some content\" > my-file\n",
  "config": {"Cmd": ["/bin/hello"], "WorkingDir": "/data"}
}
SPEC
new_entries hello-root > "$work/entries"
same_text "$work/entries" <<'ENTRIES'
bin d 0755 0:0
bin/hello f 0755 0:0
bin/sh l 0777 0:0
data d 0755 0:0
my-file f 0644 0:0
ENTRIES
config_is hello-root <<'CONFIG'
{"created": "1970-01-01T00:00:01Z", "config": {"Cmd": ["/bin/hello"], "WorkingDir": "/data"}}
CONFIG

echo "-- hello by extraCommands gives the same layer, without a guest"
image hello-extra <<'SPEC'
{
  "name": "hello", "tag": "latest",
  "copyToRoot": ["hello"],
  "extraCommands": "mkdir -p data\necho \"some content\" > my-file\n",
  "config": {"Cmd": ["/bin/hello"], "WorkingDir": "/data"}
}
SPEC
new_entries hello-extra > "$work/entries.extra"
same "$work/entries" "$work/entries.extra"
LAYERVM_QEMU=/nonexistent build "$work/hello-extra.json" -o "$out/no-guest.tar"
cmp "$out/hello-extra.tar" "$out/no-guest.tar"

echo "-- a caller that ignores SIGCHLD does not keep the script's status from being waited for"
TMPDIR=$lv_tmp env --ignore-signal=CHLD "$LAYERVM_BINARY" build "$work/hello-extra.json" \
  -o "$out/ignored.tar" 2> "$work/build.log" || fail "$(cat "$work/build.log")"
cmp "$out/hello-extra.tar" "$out/ignored.tar"

echo "-- created now"
before=$(date +%s)
image now <<'SPEC'
{"name": "hello", "tag": "latest", "created": "now", "copyToRoot": "hello",
 "config": {"Cmd": ["/bin/hello"]}}
SPEC
created=$(date -d "$(config "$out/now.tar" | jq -r .created)" +%s)
if [ "$created" -lt "$before" ] || [ "$created" -gt "$(date +%s)" ]; then
  fail "created is $created, the build began at $before"
fi

echo "-- uid and gid own what is copied and what extraCommands make"
image owned <<'SPEC'
{"name": "owned", "tag": "1", "copyToRoot": "hello", "uid": 1000, "gid": 70000,
 "extraCommands": "echo x > made"}
SPEC
new_entries owned > "$work/entries"
same_text "$work/entries" <<'ENTRIES'
bin d 0755 1000:70000
bin/hello f 0755 1000:70000
bin/sh l 0777 1000:70000
made f 0644 1000:70000
ENTRIES

echo "-- tag null: from the content, the same every time"
image untagged <<< '{"name": "some/name", "tag": null, "copyToRoot": "hello"}'
cp "$out/untagged.tar" "$work/first.tar"
image untagged <<< '{"name": "some/name", "copyToRoot": "hello"}'
cmp "$work/first.tar" "$out/untagged.tar"
tag=$(member "$out/untagged.tar" manifest.json | jq -r '.[0].RepoTags[0]')
grep -qE '^some/name:[a-z0-9]{12,}$' <<< "$tag" || fail "the tag is '$tag'"
grep -qF "${tag#*:}" "$work/build.log" || fail "the tag is not said"
