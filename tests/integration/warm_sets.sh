#!/bin/bash
# Saved guests for what a guest has besides its disk: folders, caches, a network. Each set of devices
# is saved once; a run that goes on from it finds what is there now, and gives the bytes of a boot.
. "${0%/*}/lib.sh"

base=$work/base.tar
base_busybox "$base"
export LAYERVM_CACHE_DIR=$work/cache
mkdir -p "$work/one" "$work/two"
echo "of the first folder" > "$work/one/file"
echo "of the second folder" > "$work/two/file"
saved_line='^guest: is saved after its boot, for later runs$'
small=(--accel "$LAYERVM_TEST_ACCEL" --memory 128)
unusable='^guest: boots, because a saved one cannot be used: '

# run FLAG...: a build on the base to $out/x.tar, whose script is $script.
script='cp /src/file /copy; mkdir -p /a/b; ln -s /src /a/b/c; rm -r /etc'
run() {
  build --from "$base" -t sets:1 --metadata-file "$work/metadata.json" -o "$out/x.tar" \
    "${small[@]}" --run "$script" "$@"
}

# went yes|no RESTORED: whether the last build saved a guest, and whether its own went on from one.
went() {
  local saved=no restored
  ! grep -q "$saved_line" "$work/build.log" || saved=yes
  restored=$(jq -r .guest.restored "$work/metadata.json")
  [ "$saved $restored" = "$1 $2" ] || fail "saved $saved, restored $restored, not $1 $2: $(cat "$work/build.log")"
}

# thrice FLAG...: runs that save a guest where $1 says so, go on from one, and boot, with one result.
thrice() {
  local saves=$1
  shift
  run "$@"
  went "$saves" true
  mv "$out/x.tar" "$work/first.tar"
  run "$@"
  went no true
  cmp "$out/x.tar" "$work/first.tar" || fail "other bytes: $*"
  run "$@" --no-cache
  went no false
  cmp "$out/x.tar" "$work/first.tar" || fail "other bytes than by a boot: $*"
}

states() {
  find "$work/cache/warm-state" -type f | wc -l
}

one="type=bind,src=$work/one,dst=/src"
two="type=bind,src=$work/two,dst=/src"

part "a folder: each time the one that is there"
thrice yes --mount "$one"
run --mount "$two"
went no true
top_layer "$out/x.tar" "$work/layer.tar"
[ "$(tar -xOf "$work/layer.tar" copy)" = "of the second folder" ] || fail "another folder's file"

part "a folder whose files can be changed, and a cache: to the guest the same disk"
thrice yes --mount "$one,rw"
script='[ ! -e /c/seen ] || [ "$(cat /c/seen)" = seen ]; echo seen > /c/seen; echo x > /x'
thrice no --mount type=cache,id=tool,dst=/c
[ "$(states)" = 2 ] || fail "$(states) saved guests for two sets"
script='cat /c/seen > /x'
run --mount type=cache,id=tool,dst=/c
top_layer "$out/x.tar" "$work/layer.tar"
[ "$(tar -xOf "$work/layer.tar" x)" = seen ] || fail "the cache has lost its file"

part "three disks, in their order"
script='cat /src/file /two/file > /copy; echo changed > /two/file; echo more >> /c/more'
all=(--mount "$one" --mount "type=bind,src=$work/two,dst=/two,rw" --mount "type=cache,id=more,dst=/c")
thrice yes "${all[@]}"
top_layer "$out/x.tar" "$work/layer.tar"
same_text <(tar -xOf "$work/layer.tar" copy) <<< $'of the first folder\nof the second folder'
same_text "$work/two/file" <<< "of the second folder"

part "a network, alone and with a folder"
if ! is_missing passt; then
  script='grep -c "^eth0" /proc/net/route > /routes; [ -e /src/file ] || [ ! -e /src ]'
  thrice yes --network user
  thrice yes --network user --mount "$one"
  top_layer "$out/x.tar" "$work/layer.tar"
  same_text <(tar -xOf "$work/layer.tar" routes) <<< 2
else
  skip_part "$lacking"
fi

part "what is made of no disk needs no guest of its own, and a plain guest has no network"
script='! grep -q eth0 /proc/net/dev; [ ! -e /sys/block/vdb ]; echo > /x'
run --mount type=tmpfs,dst=/mem --add-host box:10.1.2.3
went yes true
run
went no true

part "what is made in advance"
before=$(states)
warm=(lv cache warm "${small[@]}" --mount "$two" --mount "type=cache,id=made,dst=/c")
"${warm[@]}" 2> "$work/warm.log" || fail "$(cat "$work/warm.log")"
grep -q "$saved_line" "$work/warm.log" || fail "no guest is saved"
"${warm[@]}" 2> "$work/warm.log" || fail "$(cat "$work/warm.log")"
! grep -q "$saved_line" "$work/warm.log" || fail "a guest is saved again"
[ "$(states)" = $((before + 1)) ] || fail "not one more"
[ "$(find "$work/cache/mount" -type f | wc -l)" = 3 ] || fail "no disk of the cache"
script='cp /src/file /c/file'
run --mount "$two" --mount type=cache,id=made,dst=/c
went no true

part "two first runs of a set at once: one saves, the other waits"
rm -rf "$work/cache/warm-state" "$work/cache/warm-memory"
forget_steps
beside() {
  lv build "${small[@]}" --from "$base" -t sets:1 --run true --mount "$one" \
    -o "$1" 2> "$1.log"
}
beside "$out/a.tar" &
first=$!
beside "$out/b.tar" || fail "$(cat "$out/b.tar.log")"
wait $first || fail "$(cat "$out/a.tar.log")"
cmp "$out/a.tar" "$out/b.tar"
[ "$(cat "$out"/[ab].tar.log | grep -c "$saved_line")" = 1 ] || fail "$(cat "$out"/[ab].tar.log)"
rm "$out"/[ab].tar*
script='cp /src/file /two/file /; echo more >> /c/more'
run "${all[@]}"

part "a session goes on from the same guests"
before=$(states)
lv debug "${small[@]}" "$base" "${all[@]}" --command 'cat /c/more' \
  > "$work/session" 2> "$work/session.log" || fail "$(cat "$work/session.log")"
grep -qx more "$work/session" || fail "the session has another cache"
! grep -q '^guest: ' "$work/session.log" || fail "$(cat "$work/session.log")"
[ "$(states)" = "$before" ] || fail "another guest was saved"

# damage FOLDER: a byte of each file in it.
damage() {
  local file
  for file in "$1"/*; do
    python3 - "$file" <<'PYTHON'
import sys
with open(sys.argv[1], "r+b") as f:
    data = f.read(1 << 22)
    at = next(i for i in range(200, len(data)) if data[i])
    f.seek(at)
    f.write(bytes([data[at] ^ 1]))
PYTHON
  done
}

part "a damaged one: the guest boots, with one line, and the next run saves another"
script='cp /src/file /copy'
run --mount "$one"
mv "$out/x.tar" "$work/first.tar"
damage "$work/cache/warm-memory"
lv debug "${small[@]}" "$base" "${all[@]}" --command true 2> "$work/session.log" ||
  fail "$(cat "$work/session.log")"
[ "$(grep -c "$unusable" "$work/session.log")" = 1 ] || fail "the session does not say it"
run --mount "$one"
went no false
[ "$(grep -c "$unusable" "$work/build.log")" = 1 ] || fail "not told, or twice"
cmp "$out/x.tar" "$work/first.tar" || fail "other bytes"
run --mount "$one"
went yes true
cmp "$out/x.tar" "$work/first.tar" || fail "other bytes"

# empty DISK...
empty() {
  truncate -s 0 "$@"
  truncate -s 64G "$@"
}

# altered COMMAND...: a build after the command was run on the disks of folders.
altered() {
  "$@" "$work/cache/bind-disk/"*
  run --mount "$one"
  went no true
  [ "$(grep -c '^cache: .*; it is made anew$' "$work/build.log")" = 1 ] ||
    fail "$*: $(cat "$work/build.log")"
  cmp "$out/x.tar" "$work/first.tar" || fail "other bytes"
}

part "a folder's disk of another size, or with nothing on it: made anew, with one line"
altered truncate -s 8G
altered truncate -s 0
altered empty

part "a disk that a guest cannot mount is found before the script runs"
script='cp /src/file /c/file'
set_of_two=(--mount "$one" --mount "type=cache,id=bad,dst=/c")
rm -rf "$work/cache/mount"
run "${set_of_two[@]}"
# The first group's block bitmap, which would lie outside of the disk.
printf '\377\377\377\377' |
  dd of="$(find "$work/cache/mount" -type f)" bs=1 seek=4096 conv=notrunc status=none
rm "$out/x.tar"
forget_steps
expect_fail 125 'guest: cannot mount a mounted disk as ext4' \
  "${small[@]}" --from "$base" -t sets:1 --run "$script" "${set_of_two[@]}" -o "$out/x.tar"
