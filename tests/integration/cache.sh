#!/bin/bash
# What is kept for later runs: shown, verified, limited and thrown away, while builds go on that
# give the same bytes with it and without it.
. "${0%/*}/lib.sh"

export LAYERVM_CACHE_DIR=$work/cache
unset LAYERVM_CACHE_MAX_SIZE LAYERVM_CACHE_MIN_FREE
base_busybox "$work/base.tar"
# An archive that was changed just now is not known by its file yet.
touch -d '1 hour ago' "$work/base.tar"
warm_flags=(--accel "$LAYERVM_TEST_ACCEL" --memory 128)

# cache ACTION...: what it shows is in $work/shown, what it tells in $work/told.
cache() {
  lv cache "$@" > "$work/shown" 2> "$work/told" || {
    cat "$work/told" >&2
    fail "layervm cache $*"
  }
}
told() {
  grep -qE -- "$1" "$work/told" || {
    cat "$work/told" >&2
    fail "nothing tells: $1"
  }
}
not_told() {
  ! grep -E -- "$1" "$work/told" || fail "it tells: $1"
}
# one OUTPUT ARGUMENT...: the build that the story is about.
one() {
  local output=$1
  shift
  build --from "$work/base.tar" -t cache:1 --memory 128 --metadata-file "$work/metadata.json" \
    --run 'mkdir /a; echo hi > /a/b; ln /a/b /c; rm -r /etc' -o "$output" "$@"
}
# The kinds that have entries, in one line.
kinds() {
  lv cache du --format json | jq -r '[.kinds[].kind] | join(" ")'
}
is() {
  [ "$1" = "$2" ] || fail "it is \"$1\", expected \"$2\""
}
entry() {
  find "$work/cache/$1" -type f -print -quit
}

expect_command=(cache)
part "an empty cache"
cache ls --format json
is "$(jq -c .entries "$work/shown")" '[]'
is "$(jq -r .folder "$work/shown")" "$work/cache"
cache du
grep -q '^all  *0 ' "$work/shown"
cache prune
told '^0 entries removed'
cache verify
told '^0 whole, 0 damaged and removed, 0 not verified'
is "$(stat -c %a "$work/cache")" 700

part "a guest and a base before the first build, which waits for neither"
cache warm "${warm_flags[@]}"
told '^guest: is saved after its boot'
cache warm "${warm_flags[@]}"
not_told saved
is "$(kinds)" "warm-memory warm-state"
sleep 2.1 # an archive is known by its file once its time of change is 2 s old
cache warm "${warm_flags[@]}" --from "$work/base.tar"
is "$(kinds)" "boot disk image tree warm-memory warm-state"
one "$work/second.tar" --no-cache
is "$(kinds)" "boot disk image tree warm-memory warm-state"
files() {
  find "$work/cache" -mindepth 2 -type f -printf '%P %i\n' | sort
}
files > "$work/before"
cache warm "${warm_flags[@]}" --from "$work/base.tar"
not_told '^(merge|assemble)'
one "$work/first.tar"
is "$(jq -c '[.guest.restored, .layer.cached]' "$work/metadata.json")" '[true,false]'
grep -q 'which the cache has' "$work/build.log"
files | grep -vE '^(step|layer)/' > "$work/after"
same "$work/before" "$work/after"
cmp "$work/first.tar" "$work/second.tar"

part "ls and du agree with one another, and with the file system"
is "$(kinds)" "boot disk image layer step tree warm-memory warm-state"
cache ls --format json
jq -r '.entries[] | "\(.kind)/\(.key) \(.size) \(.allocated)"' "$work/shown" | sort > "$work/listed"
(cd "$work/cache" && find . -mindepth 2 -type f -printf '%P %s %b\n') |
  awk '{print $1, $2, $3 * 512}' | sort > "$work/found"
same "$work/found" "$work/listed"
jq -r '.entries[].lastUse' "$work/shown" | sort -rc || fail "not those used last first"
is "$(jq '[.entries[].allocated] | add' "$work/shown")" \
  "$(lv cache du --format json | jq '.total.allocated')"
is "$(lv cache du --format json | jq -c '.total | [.entries, .allocated] == [.entries, .allocated]')" true
cache ls
is "$(sed 1d "$work/shown" | wc -l)" "$(wc -l < "$work/listed")"
grep -qE '^disk  +[0-9a-f]{12} +[0-9.]+ [kM]B +20[0-9]{2}-' "$work/shown"

part "verify finds what is damaged, whichever kind it is, and leaves alone what is not the cache's"
cache verify
told '^7 whole, 0 damaged and removed, 1 not verified'
told '^boot: is not verified'
for kind in disk image layer step tree warm-memory warm-state; do
  file=$(entry "$kind")
  python3 - "$file" << 'PYTHON'
import sys
with open(sys.argv[1], "r+b") as f:
    data = f.read(1 << 22)
    at = next(i for i in reversed(range(len(data))) if data[i])
    f.seek(at)
    f.write(bytes([data[at] ^ 1]))
PYTHON
  cache verify
  told "^(layervm: )?warning: $kind ${file##*/}: is removed: "
  told '^[0-9]+ whole, 1 damaged and removed, 1 not verified'
  [ ! -e "$file" ] || fail "$kind is still there"
done
is "$(kinds)" boot
one "$work/second.tar"
cmp "$work/first.tar" "$work/second.tar"

echo mine > "$work/cache/readme"
echo mine > "$work/cache/disk/notes"
mkdir "$work/outside"
echo mine > "$work/outside/$(printf '%064d' 0)"
ln -s "$work/outside" "$work/cache/linked"
ln -s "$work/outside/$(printf '%064d' 0)" "$work/cache/disk/$(printf '%064d' 0)"
cache verify
told '^readme: is none of the cache'
told '^linked: is none of the cache'
told '^disk/notes: has a name that is no key; left alone'
told '^disk/0{64}: is no regular file; left alone'
cache prune --all
is "$(cat "$work/outside/$(printf '%064d' 0)" "$work/cache/readme" "$work/cache/disk/notes")" $'mine\nmine\nmine'
is "$(kinds)" ''
rm "$work/cache/readme" "$work/cache/linked" "$work/cache/disk/notes" "$work/cache/disk/$(printf '%064d' 0)"

part "prune takes what was not used for long first, and the disks of cache mounts when they are named"
one "$work/second.tar" --mount type=cache,id=tool,dst=/var/tool
one "$work/second.tar"
cmp "$work/first.tar" "$work/second.tar"
touch -d '1 day ago' "$(entry warm-memory)"
touch -d '2 days ago' "$(entry mount)"
sizes() {
  lv cache du --format json | jq "[.kinds[] | select(.kind | $1) | .allocated] | add"
}
# A file system may say less of a file once it is written back.
cache prune --max-size "$(($(sizes '. != "mount"') / 1048576 - 1))"
is "$(sed -n 's/ .*//p' "$work/told" | head -n 1)" warm-memory
told '^1 entry removed'
[[ " $(kinds) " == *" mount "* ]]
cache prune tree
told '^tree [0-9a-f]{64}: is removed, '
[[ " $(kinds) " != *" tree "* ]]
exec 9<> "$(entry mount)"
flock 9
cache prune mount
told '^mount [0-9a-f]{64}: stays: it is in use'
cache prune --all
told '^mount [0-9a-f]{64}: stays: it is in use'
is "$(kinds)" mount
exec 9>&-
cache prune --max-size 0
is "$(kinds)" mount
cache prune mount
is "$(kinds)" ''
one "$work/second.tar"
cmp "$work/first.tar" "$work/second.tar"

part "a folder's disk that was damaged while the machine was off is made anew"
mkdir "$work/host"
seq -f 'what the folder holds %.0f' 100000 > "$work/host/file"
bound() {
  build --from "$work/base.tar" -t cache:1 --memory 128 --run 'sha256sum < /mnt/file > /sum' -o "$1" \
    --mount "type=bind,src=$work/host,dst=/mnt,ro"
}
bound "$work/bound.tar"
cache verify
told ' 0 damaged and removed, '
not_told '^bind.*: is not verified'
disk=$(entry bind-disk)
# Of 64 GiB, almost all a hole, the first data that are the file's.
python3 - "$disk" << 'PYTHON'
import os, sys
fd = os.open(sys.argv[1], os.O_RDWR)
at = 0
while True:
    at = os.lseek(fd, at, os.SEEK_DATA) // 4096 * 4096
    if os.pread(fd, 4, at) == b"what":
        break
    at += 4096
os.pwrite(fd, bytes(4096), at)
PYTHON
rm -rf "${LAYERVM_CACHE_DIR:?}"/{boot,step,layer}
bound "$work/bound.2.tar"
grep -q "^cache: a folder's disk in the cache: expected the digest .*; it is made anew" "$work/build.log"
cmp "$work/bound.tar" "$work/bound.2.tar"
cache prune --all

part "two builds, and two that prune, at once"
for i in 1 2; do
  (
    until [ -e "$work/stop" ]; do
      lv cache prune --all > /dev/null 2>> "$work/prune.$i" || touch "$work/prune.failed"
    done
  ) &
done
for i in 1 2; do
  TMPDIR=$lv_tmp "$LAYERVM_BINARY" build --accel "$LAYERVM_TEST_ACCEL" --from "$work/base.tar" -t cache:1 \
    --memory 128 --run 'mkdir /a; echo hi > /a/b; ln /a/b /c; rm -r /etc' -o "$work/side.$i.tar" \
    2> "$work/side.$i.log" &
  builds[i]=$!
done
for i in 1 2; do
  wait "${builds[i]}" || {
    touch "$work/stop"
    cat "$work/side.$i.log" >&2
    fail "a build beside others that prune"
  }
done
touch "$work/stop"
wait
[ ! -e "$work/prune.failed" ] || fail "prune: $(tail -n 3 "$work"/prune.?)"
cmp "$work/first.tar" "$work/side.1.tar"
cmp "$work/first.tar" "$work/side.2.tar"

part "the cache keeps its limits by itself, down to nothing"
LAYERVM_CACHE_MAX_SIZE=0 one "$work/second.tar"
cmp "$work/first.tar" "$work/second.tar"
is "$(kinds)" ''
is "$(grep -c '^cache: ' "$work/build.log")" 1
grep -q '^cache: .*LAYERVM_CACHE_MAX_SIZE' "$work/build.log"
cache warm "${warm_flags[@]}"
used=$(($(sizes true) / 1048576 + 1))
# Room for two of three that large: the one that was not used for long goes.
mkdir -m 700 "$work/cache/other"
head -c "${used}M" /dev/zero > "$work/cache/other/$(printf '%064d' 0)"
touch -d '1 day ago' "$(entry warm-memory)"
LAYERVM_CACHE_MAX_SIZE=$((2 * used + used / 2)) cache warm --accel "$LAYERVM_TEST_ACCEL" --memory 136
rm -r "$work/cache/other"
is "$(lv cache du --format json | jq -c '[.kinds[] | select(.kind == "warm-memory") | [.entries, .size]]')" \
  "[[1,$((136 << 20))]]"

part "where nothing can be kept a build goes on, and says so, and nothing is warmed"
LAYERVM_CACHE_MIN_FREE=1000T expect_fail 125 'output: nothing is added to .*LAYERVM_CACHE_MIN_FREE' \
  warm --accel "$LAYERVM_TEST_ACCEL" --memory 136 --from "$work/base.tar"
LAYERVM_CACHE_MIN_FREE=1000T one "$work/second.tar"
cmp "$work/first.tar" "$work/second.tar"
grep -q '^cache: nothing is added to .*LAYERVM_CACHE_MIN_FREE' "$work/build.log"
is "$(kinds)" ''

part "what does not fit"
expect_fail 125 'usage: what is to be done is missing'
expect_fail 125 'usage: what is to be done: is "clean", ls, du, prune, verify or warm is wanted' clean
expect_fail 125 'usage: "x" is one argument too many' ls x
expect_fail 125 'usage: "\.\./x" is no kind of entries' prune ../x
expect_fail 125 'usage: --all: is no flag of layervm cache du' du --all
expect_fail 125 'usage: --max-size: is "1x", a number of MiB' prune --max-size 1x
expect_fail 125 'usage: --from: is missing' warm --image x
expect_fail 125 'input: .*no-such.tar' warm "${warm_flags[@]}" --from "$work/no-such.tar"
LAYERVM_CACHE_MAX_SIZE=some expect_fail 125 'usage: LAYERVM_CACHE_MAX_SIZE is "some"' ls
chmod 770 "$work/cache"
expect_fail 125 'output: cache folder .* has mode 0770' ls
chmod 700 "$work/cache"
finish_parts
