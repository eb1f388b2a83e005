#!/bin/bash
# The merged root file system of an image as a tar: whole, in order, the same every time, and taken
# by the tools that people unpack and import it with.
. "${0%/*}/lib.sh" || exit
expect_command=(export)

stack() {
  "$here/tools/stack.py" "$@"
}

# ordered TAR: "./" comes first, each folder before what is in it, siblings by name.
ordered() {
  python3 - "$1" <<'PYTHON'
import os, sys, tarfile
with tarfile.open(sys.argv[1], encoding="utf-8", errors="surrogateescape") as tar:
    names = [os.fsencode(member.name) for member in tar]
assert names[0] == b".", names[0]
parts = [[] if name == b"." else name.removeprefix(b"./").split(b"/") for name in names]
assert all(name == b"." or name.startswith(b"./") for name in names)
assert parts == sorted(parts), next(a for a, b in zip(parts, sorted(parts)) if a != b)
assert len(set(names)) == len(names)
PYTHON
}

part "a generated image with all that layers hold"
stack 7 "$work/all.tar" --layers 4 --entries 60
lv export -q "$work/all.tar" -o "$out/all.tar"
dump image "$work/all.tar" > "$work/expected.dump"
dump tar "$out/all.tar" > "$work/found.dump"
same "$work/expected.dump" "$work/found.dump"
ordered "$out/all.tar"

part "exported, used as an image, exported again: the same bytes"
lv export -q "$out/all.tar" -o "$out/again.tar"
cmp "$out/all.tar" "$out/again.tar"
lv export -q "$out/all.tar" | cmp - "$out/all.tar"
lv export -q - < "$work/all.tar" | cmp - "$out/all.tar"

part "the list is what tar shows, in every time zone, with columns that grow"
stack 8 "$work/plain.tar" --plain --layers 4 --entries 60
lv export -q "$work/plain.tar" -o "$out/plain.tar"
mkdir "$work/wide"
echo x > "$work/wide/before"
truncate -s 1234567 "$work/wide/large"
echo x > "$work/wide/then"
tar --owner=4000000 --group=4000000 --numeric-owner -C "$work/wide" -cf "$work/wide.tar" .
lv export -q "$work/wide.tar" -o "$out/wide.tar"
lv export -q --list "$work/wide.tar" > "$work/list"
tar --numeric-owner -tvf "$out/wide.tar" > "$work/tar.list"
same "$work/tar.list" "$work/list"
for zone in UTC Asia/Kathmandu; do
  TZ=$zone lv export -q --list "$work/plain.tar" > "$work/list"
  TZ=$zone tar --numeric-owner -tvf "$out/plain.tar" > "$work/tar.list"
  same "$work/tar.list" "$work/list"
done
TZ=UTC lv export -q --list --mtime 0 "$work/plain.tar" | grep -v ' 1970-01-01 00:00 \./' && fail "a time of its own"

part "names on a terminal are harmless"
mkdir "$work/names"
touch "$work/names/"$'a\e[31mred' "$work/names/"$'\xc2\x9b31m' "$work/names/caf"$'\xc3\xa9'
tar_folder "$work/names" "$work/names.tar"
lv export -q --list "$work/names.tar" | sed 's/.* //' > "$work/list"
same_text "$work/list" <<'LIST'
./
./a\033[31mred
./café
./\302\23331m
LIST

part "times, compression, names"
lv export -q "$work/plain.tar" --mtime 1234567890 -o "$out/same.tar"
dump tar "$out/same.tar" | grep -v ' 1234567890\.000000000' && fail "a time of its own"
dump tar "$out/same.tar" --no-mtime > "$work/same.dump"
dump image "$work/plain.tar" --no-mtime > "$work/expected.dump"
same "$work/expected.dump" "$work/same.dump"
lv export -q "$work/plain.tar" --compression gzip | gzip -dc | cmp - "$out/plain.tar"
lv export -q "$work/plain.tar" -o "$out/x.tar.gz"
gzip -dc "$out/x.tar.gz" | cmp - "$out/plain.tar"
if is_missing zstd; then
  not_here "$lacking"
else
  lv export -q "$work/plain.tar" --compression zstd | zstd -dc | cmp - "$out/plain.tar"
fi
lv export -q "$work/plain.tar" -o "$out" --name named.tar
cmp "$out/named.tar" "$out/plain.tar"
(cd "$out" && lv export -q "$work/plain.tar" --name here.tar)
cmp "$out/here.tar" "$out/plain.tar"
rm "$out"/*
lv export -q "$work/plain.tar" -o "$work/rootfs.tar"

part "to a pipe nothing is spooled"
(
  ulimit -f 0
  lv export -q "$work/plain.tar" | cmp - "$work/rootfs.tar"
)

part "what does not fit is refused"
expect_fail 125 'usage: the image is missing' -q
expect_fail 125 'usage: one image is taken' -q a b
expect_fail 125 'usage: --output: .* is a folder' -q "$work/plain.tar" -o "$work"
expect_fail 125 'usage: --name: .*names the file already' -q "$work/plain.tar" -o x.tar --name y
expect_fail 125 'usage: --name: is "a/b"' -q "$work/plain.tar" --name a/b
expect_fail 125 'usage: --output: .*--list' -q "$work/plain.tar" --list -o x.tar
expect_fail 125 'usage: --mtime: is "now", keep, or' -q "$work/plain.tar" --mtime now
expect_fail 125 'usage: --platform: is "windows/amd64"' -q "$work/plain.tar" --platform windows/amd64
expect_fail 125 'usage: --image: is ":x", NAME or NAME:TAG' -q "$work/plain.tar" --image :x
expect_fail 125 'usage: --root: is for disks' -q "$work/plain.tar" --root /dev/sda1
expect_fail 125 'input: .*no-such' -q "$work/no-such.tar"
expect_fail 125 'output: .*cannot write to its folder' -q "$work/plain.tar" -o "$work/no/x.tar"
echo old > "$work/old.tar"
head -c 3000 "$work/plain.tar" > "$work/cut.tar"
expect_fail 125 'input: ' -q "$work/cut.tar" -o "$work/old.tar"
same_text "$work/old.tar" <<< old
status=0
lv export -q "$work/plain.tar" > /dev/full 2> "$work/stderr" || status=$?
[ "$status" = 125 ] || fail "a full disk gave status $status"
grep -q '^layervm: output: ' "$work/stderr" || fail "a full disk: $(cat "$work/stderr")"

part "the tar of what was built is what was built"
if ! is_missing busybox; then
  base_busybox "$work/base.tar"
  busybox_rootfs "$work/busybox"
  build --from "$work/base.tar" --copy "$work/busybox" --extra-commands 'rm -f bin/yes; ln bin/sh bin/sh2' \
    -t x:1 -o "$work/built.tar"
  lv export -q "$work/built.tar" -o "$work/built.rootfs.tar"
  dump image "$work/built.tar" > "$work/expected.dump"
  dump tar "$work/built.rootfs.tar" > "$work/found.dump"
  same "$work/expected.dump" "$work/found.dump"
else
  skip_part "$lacking"
fi

dump tar "$work/rootfs.tar" > "$work/expected.dump"
# Both leave the time of the folder that it unpacks to.
without_root_time() {
  sed -E '1s/ - -?[0-9.]+/ -/'
}

part "GNU tar and bsdtar unpack it"
if ! is_missing root; then
  mkdir "$work/gnu" "$work/bsd"
  tar --numeric-owner --xattrs --xattrs-include='*' --warning=no-timestamp \
    -C "$work/gnu" -xpf "$work/rootfs.tar"
  dump folder "$work/gnu" | without_root_time > "$work/found.dump"
  without_root_time < "$work/expected.dump" > "$work/rootless.dump"
  same "$work/rootless.dump" "$work/found.dump"
  if is_missing bsdtar; then
    not_here "$lacking"
  else
    bsdtar --numeric-owner --xattrs -C "$work/bsd" -xpf "$work/rootfs.tar"
    dump folder "$work/bsd" | without_root_time > "$work/found.dump"
    same "$work/rootless.dump" "$work/found.dump"
  fi
else
  skip_part "$lacking" "owners and devices need root"
fi

part "podman import"
if start_podman; then
  lv export -q "$work/plain.tar" | "${podman[@]}" import -q - test/imported:1 > "$work/podman.log" 2>&1 ||
    { cat "$work/podman.log" >&2; fail "podman import"; }
  "${podman[@]}" save -q --format docker-archive -o "$work/podman.tar" test/imported:1
  dump image "$work/podman.tar" > "$work/found.dump"
  same "$work/expected.dump" "$work/found.dump"
else
  skip_part podman "$podman_reason"
fi

part "docker import"
if ! start_docker; then
  skip_part docker "$docker_reason"
else
  lv export -q "$work/plain.tar" | docker_cli import - test/imported:1 > "$work/docker.log" 2>&1 ||
    { cat "$work/docker.log" >&2; fail "docker import"; }
  docker_cli save -o "$work/docker.tar" test/imported:1
  stop_docker
  dump image "$work/docker.tar" > "$work/found.dump"
  same "$work/expected.dump" "$work/found.dump"
fi

finish_parts
