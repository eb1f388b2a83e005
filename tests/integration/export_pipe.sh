#!/bin/bash
# A tar to standard output that is never whole: the reader leaves or takes no more until a signal comes,
# the image changes when some of the tar is out, or turns out bad before. It is said in one line and by
# the status, and no tool takes what is there for a whole tar.
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

# stored_layer FILE: as big_layer, of 70 MiB, as a gzip stream of stored blocks. Its last file ends with
# words, behind which there is more than is read ahead.
stored_layer() {
  python3 - "$1" <<'PYTHON'
import gzip, io, random, sys, tarfile
bytes_of = random.Random(2).randbytes
with gzip.open(sys.argv[1], "wb", compresslevel=0) as stream:
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for number in range(70):
            member = tarfile.TarInfo(f"file-{number:02}")
            member.size = 1 << 20
            tar.addfile(member, io.BytesIO(bytes_of(member.size - 13) + b"THE LAST WORD"))
    stream.write(bytes(4 << 20))
PYTHON
}

echo "-- a layer that is read twice changes when its tar is half out"
stored_layer "$work/stored.tar.gz"
zcat "$work/stored.tar.gz" > "$work/stored.tar"
archive_of "$work/changes.tar" "$work/stored.tar" "$work/stored.tar.gz"
at=$(grep -abo 'THE LAST WORD' "$work/changes.tar" | tail -n 1 | cut -d: -f1)
status=0
# shellcheck disable=SC2094 # that is the point
lv export -q "$work/changes.tar" -o - 2> "$work/stderr" | {
  head -c 100000
  printf X | dd of="$work/changes.tar" bs=1 seek="$at" conv=notrunc status=none
  cat
} > "$work/part" || status=$?
[ "$status" = 125 ] || fail "status $status"
one_line 'input: .*layer' "$work/stderr"
[ "$(wc -c < "$work/part")" -gt $((60 << 20)) ] || fail "only $(wc -c < "$work/part") bytes"
is_cut "$work/part"
rm "$work"/{stored.tar,stored.tar.gz,changes.tar,part}

# stuck SIGNAL STATUS ARGUMENT...: the other end of the command's pipe does nothing, which a signal ends
# within a second; what went out before is left in $work/part.
stuck() {
  TMPDIR=$lv_tmp python3 - "$work/part" "$work/stderr" "$1" "$2" "$LAYERVM_BINARY" "${@:3}" <<'PYTHON'
import os, signal, subprocess, sys, time
part, stderr, name, status, *command = sys.argv[1:]
reads = command[2] == "-"
with open(stderr, "wb") as errors:
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors)
def threads_sleep():
    folder = f"/proc/{child.pid}/task"
    states = [open(f"{folder}/{task}/stat").read().rpartition(")")[2].split()[0]
              for task in os.listdir(folder)]
    return all(state == "S" for state in states)
begin = os.read(child.stdout.fileno(), 1000) if not reads else b""
# All threads asleep, and still so a moment later: they wait for this process alone.
asleep, until = 0, time.monotonic() + 20
while asleep < 20 and time.monotonic() < until:
    asleep = asleep + 1 if threads_sleep() else 0
    time.sleep(0.01)
sent = time.monotonic()
child.send_signal(getattr(signal, "SIG" + name))
try:
    found = child.wait(timeout=10)
except subprocess.TimeoutExpired:
    child.kill()
    sys.exit(f"FAILED: SIG{name} does not end {command[1:]}")
took = time.monotonic() - sent
with open(part, "wb") as out:
    out.write(begin + child.stdout.read())
if asleep < 20 or took > 1 or found != int(status):
    sys.exit(f"FAILED: asleep {asleep}, status {found}, {took:.2f} s: {command[1:]}")
PYTHON
  one_line "interrupted: ended by SIG$1" "$work/stderr"
  grep -q 'nothing was written' "$work/stderr" && fail "something was: $(cat "$work/stderr")"
  [ -z "$(ls -A "$lv_tmp")" ] || fail "left in TMPDIR: $(ls -A "$lv_tmp")"
}

echo "-- the reader takes no more, and a signal comes"
stuck INT 130 export -q "$work/image.tar" -o -
[ "$(wc -c < "$work/part")" -ge 1000 ] || fail "$(wc -c < "$work/part") bytes"
is_cut "$work/part"
stuck TERM 143 export -q "$work/image.tar" -o -
stuck INT 130 export -q "$work/image.tar" -o - --compression gzip
stuck INT 130 export -q "$work/image.tar" -o - --compression zstd
stuck TERM 143 diff -q "$work/empty.tar" "$work/image.tar" --layer -

echo "-- standard input gives nothing, and a signal comes"
stuck INT 130 export - -q -o "$out/never.tar"
stuck TERM 143 inspect - -q
[ -z "$(ls -A "$out")" ] || fail "left $(ls -A "$out")"

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
