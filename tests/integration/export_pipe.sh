#!/bin/bash
# A tar to standard output that is never whole: the reader leaves, the image loses its end when some
# of the tar is out, or turns out bad before. It is said in one line and by the status, and no tool
# takes what is there for a whole tar.
. "${0%/*}/lib.sh" || exit
expect_command=(export)

# big_layer FILE: a layer of 24 files of 1 MiB, of which no two blocks are the same.
big_layer() {
  python3 - "$1" <<'PYTHON'
import io, random, sys, tarfile
bytes_of = random.Random(1).randbytes
with tarfile.open(sys.argv[1], "w", format=tarfile.USTAR_FORMAT) as tar:
    for number in range(24):
        member = tarfile.TarInfo(f"file-{number:02}")
        member.size = 1 << 20
        tar.addfile(member, io.BytesIO(bytes_of(member.size)))
PYTHON
}

# one_line WORDS FILE: a file holds one line, an error of these words.
one_line() {
  [ "$(wc -l < "$2")" = 1 ] || fail "not one line: $(head -n 5 "$2")"
  grep -qE "^layervm: $1" "$2" || fail "no \"layervm: $1\" in: $(cat "$2")"
}

# is_cut FILE: it is no whole tar, and GNU tar and bsdtar notice.
is_cut() {
  tail -c 1024 "$1" | cmp -s - <(head -c 1024 /dev/zero) && fail "$1 ends as a whole tar does"
  tar -tf "$1" > "$work/tar.list" 2>&1 && fail "GNU tar takes $1 for a whole tar"
  ! has bsdtar || ! bsdtar -tf "$1" > "$work/tar.list" 2>&1 || fail "bsdtar takes $1 for a whole tar"
}

big_layer "$work/layer.tar"
docker_archive "$work/image.tar" big:1 '{}' "$work/layer.tar"
lv export -q "$work/image.tar" -o "$work/whole.tar"

# leaves COMMAND ARGUMENT...: the command's reader takes 1000 bytes and goes.
leaves() {
  local statuses
  set +e
  lv "$@" 2> "$work/stderr" | head -c 1000 > "$work/part"
  statuses=("${PIPESTATUS[@]}")
  set -e
  [ "${statuses[0]}" = 125 ] || fail "status ${statuses[0]} of layervm $*"
  [ "$(wc -c < "$work/part")" = 1000 ] || fail "no 1000 bytes of layervm $*"
  one_line 'output: .*Broken pipe' "$work/stderr"
}

echo "-- the reader leaves"
leaves export -q "$work/image.tar" -o -
cmp "$work/part" <(head -c 1000 "$work/whole.tar")
leaves export -q "$work/image.tar" -o - --compression gzip
leaves export -q "$work/image.tar" -o - --compression zstd
mkdir "$work/empty"
tar -cf "$work/empty.tar" -C "$work/empty" .
leaves diff -q "$work/empty.tar" "$work/image.tar" --layer -
"$here/tools/many.py" entries 20000 > "$work/many.tar"
leaves export -q --list "$work/many.tar"
leaves diff -q "$work/empty.tar" "$work/many.tar"

# shrinks FLAG...: the image loses its end when some of the tar is out, which is left in $work/part.
shrinks() {
  local status=0
  cp "$work/image.tar" "$work/shrinks.tar"
  # shellcheck disable=SC2094 # that is the point
  lv export -q "$work/shrinks.tar" -o - "$@" 2> "$work/stderr" | {
    head -c 100000
    truncate -s 8M "$work/shrinks.tar"
    cat
  } > "$work/part" || status=$?
  [ "$status" = 125 ] || fail "status $status"
  one_line 'input: ' "$work/stderr"
  [ "$(wc -c < "$work/part")" -ge 100000 ] || fail "not streamed: $(wc -c < "$work/part") bytes"
}

echo "-- the file shrinks while its tar is written"
shrinks
is_cut "$work/part"
shrinks --compression gzip
gzip -t "$work/part" 2> "$work/gzip.log" && fail "gzip takes it for whole"

# archive_of FILE SAID.tar LAYER: a docker archive of one layer, compressed or not, which its config
# says to be another file's bytes.
archive_of() {
  local digest
  mkdir "$work/archive"
  cp "$3" "$work/archive/layer"
  digest=$(sha256sum < "$2" | cut -d' ' -f1)
  jq -cn --arg id "sha256:$digest" '{architecture: "amd64", os: "linux", config: {},
    rootfs: {type: "layers", diff_ids: [$id]}, history: [{}]}' > "$work/archive/config.json"
  jq -cn '[{Config: "config.json", RepoTags: ["big:1"], Layers: ["layer"]}]' \
    > "$work/archive/manifest.json"
  tar_folder "$work/archive" "$1"
  rm -r "$work/archive"
}

# bad WHAT WORDS ARCHIVE: to a pipe, before its first byte, and as a file.
bad() {
  local status=0
  echo "   $1"
  lv export -q "$3" -o - 2> "$work/stderr" > "$work/part" || status=$?
  [ "$status" = 125 ] || fail "status $status"
  one_line "input: .*($2)" "$work/stderr"
  [ ! -s "$work/part" ] || fail "$(wc -c < "$work/part") bytes were written before it was seen"
  expect_fail 125 "input: .*($2)" -q "$3" -o "$out/x.tar"
}

echo "-- what its last bytes show to be wrong"
gzip -1c "$work/layer.tar" > "$work/layer.tar.gz"
archive_of "$work/good.tar" "$work/layer.tar" "$work/layer.tar.gz"
lv export -q "$work/good.tar" -o - | cmp - "$work/whole.tar"
size=$(wc -c < "$work/layer.tar.gz")

cp "$work/layer.tar" "$work/other.tar"
printf x | dd of="$work/other.tar" bs=1 seek=$((23 << 20)) conv=notrunc status=none
archive_of "$work/bad.tar" "$work/other.tar" "$work/layer.tar.gz"
bad "another content than the config says" 'diff ID' "$work/bad.tar"
archive_of "$work/bad.tar" "$work/other.tar" "$work/layer.tar"
bad "another content than the config says, and not compressed" 'diff ID' "$work/bad.tar"

cp "$work/layer.tar.gz" "$work/bad.gz"
printf '\0\0\0\0' | dd of="$work/bad.gz" bs=1 seek=$((size - 8)) conv=notrunc status=none
archive_of "$work/bad.tar" "$work/layer.tar" "$work/bad.gz"
bad "a wrong checksum" 'checksum|CRC|crc|gzip' "$work/bad.tar"

head -c $((size - 100)) "$work/layer.tar.gz" > "$work/bad.gz"
archive_of "$work/bad.tar" "$work/layer.tar" "$work/bad.gz"
bad "a compressed stream that ends too early" 'ends|truncated|cut|gzip' "$work/bad.tar"

head -c $((23 << 20)) "$work/layer.tar" > "$work/other.tar"
gzip -1c "$work/other.tar" > "$work/bad.gz"
archive_of "$work/bad.tar" "$work/other.tar" "$work/bad.gz"
bad "a tar that ends too early" 'ends|truncated|Truncated' "$work/bad.tar"
