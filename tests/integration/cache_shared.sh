#!/bin/bash
# The cache when it is full, shared, first used or distrusted: a build waits for no longer than it
# would take itself, says one line of what is wrong, and gives the same bytes in any case.
. "${0%/*}/lib.sh"

export LAYERVM_CACHE_DIR=$work/cache
unset LAYERVM_CACHE_MAX_SIZE
# The machine's own shortage of space is not what this is about.
export LAYERVM_CACHE_MIN_FREE=0
base_busybox "$work/base.tar"
gzip -k "$work/base.tar"
# An archive that was changed just now is not known by its file yet.
sleep 2.1
flags=(--accel "$LAYERVM_TEST_ACCEL" -t shared:1 --memory 128
  --run 'mkdir /a; echo hi > /a/b; rm -r /etc; cat /bin/busybox > /copy')

# one NAME [FLAG...]: builds NAME.tar, which must be what the first one was; its report is NAME.log.
one() {
  local name=$1
  forget_steps
  shift
  lv build "${flags[@]}" --from "$work/base.tar" "$@" -o "$out/$name.tar" 2> "$work/$name.log" || {
    cat "$work/$name.log" >&2
    fail "layervm build for $name"
  }
  if [ -e "$work/first.tar" ]; then
    cmp "$work/first.tar" "$out/$name.tar"
  else
    cp "$out/$name.tar" "$work/first.tar"
  fi
}
# lines NAME WORDS COUNT: so many lines of the report have the words.
lines() {
  local found
  found=$(grep -cE "$2" "$work/$1.log") || true
  [ "$found" = "$3" ] || {
    cat "$work/$1.log" >&2
    fail "$found lines of $1.log have \"$2\", expected $3"
  }
}
# forget KIND...: as if these had never been kept.
forget() {
  for kind; do
    rm -rf "${LAYERVM_CACHE_DIR:?}/$kind"
  done
}

# hold_claims: another process claims all that there is to make, as long as this story goes on.
mkfifo "$work/alive"
exec 8<> "$work/alive"
hold_claims() {
  rm -f "$work/held"
  python3 -c '
import fcntl, os, struct, sys
fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT, 0o600)
F_OFD_SETLK = 37
fcntl.fcntl(fd, F_OFD_SETLK, struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
open(sys.argv[2], "w").close()
os.read(0, 1)' "$LAYERVM_CACHE_DIR/.claims" "$work/held" < "$work/alive" 8>&- &
  holder=$!
  until [ -e "$work/held" ]; do
    kill -0 "$holder" || fail "nobody holds the claims"
  done
}
kill_holder() {
  kill -KILL "$holder"
  wait "$holder" 2> /dev/null || true
}
# until_waiting NAME: its build waits for another run.
until_waiting() {
  until grep -qs '^wait ' "$work/$1.log"; do
    kill -0 "$build" 2> /dev/null || fail "$1 has not waited: $(cat "$work/$1.log")"
  done
}

part "a first build, and what --verify reads again"
one first
one again
lines again 'which the cache has' 1
one verified --verify
lines verified '^verify ' 1
lines verified 'which the cache has' 1
disk=$(find "$work/cache/disk" -type f)
# Of 64 GiB, almost all a hole, the beginning has inodes and data.
head -c 256M "$disk" > "$work/start"
offset=$(grep -obUam 1 'BusyBox v' "$work/start" | head -n 1 | cut -d: -f1)
printf 'X' | dd of="$disk" bs=1 seek="$offset" conv=notrunc status=none
one verified --verify
lines verified '^cache: a base disk in the cache: expected the digest .*; it is made anew' 1
lines verified 'which the cache has' 0
one again
lines again 'which the cache has' 1

part "of two builds at once one makes the disk, and the other one takes it"
for _ in 1 2 3; do
  forget disk tree boot
  one side-1 &
  build=$!
  one side-2
  wait "$build"
  [ "$(cat "$work"/side-?.log | grep -c '^assemble')" = 2 ] || fail "not both have a disk"
  [ "$(cat "$work"/side-?.log | grep -c 'which the cache has')" = 1 ] ||
    fail "the disk was made twice: $(cat "$work"/side-?.log)"
done

part "the wait ends with the maker, however that ends, or by an interrupt"
forget disk tree boot
hold_claims
one waiting 8>&- &
build=$!
until_waiting waiting
kill_holder
wait "$build"
lines waiting '^wait  *another run makes the base.s disk; for [0-9]+ s at most' 1
lines waiting 'which the cache has' 0
forget disk tree boot step
hold_claims
TMPDIR=$lv_tmp "$LAYERVM_BINARY" build "${flags[@]}" --from "$work/base.tar" -o "$out/no.tar" \
  2> "$work/interrupted.log" 8>&- &
build=$!
until_waiting interrupted
kill -TERM "$build"
status=0
wait "$build" || status=$?
[ "$status" = 143 ] || fail "status $status after a signal: $(cat "$work/interrupted.log")"
[ ! -e "$out/no.tar" ] || fail "an interrupted build has left its output"
# What is there is waited for by nobody.
one made --no-cache
kill_holder
one made
hold_claims
one again
lines again 'which the cache has' 1
kill_holder

part "a compressed archive is inflated once"
one packed --from "$work/base.tar.gz"
[ "$(find "$work/cache/archive" -type f | wc -l)" = 1 ] || fail "it is not kept"
packed=$(find "$work/cache/archive" -type f)
before=$(stat -c '%i %z' "$packed")
one packed --from "$work/base.tar.gz"
lines packed '^(verify|wait|cache)' 0
one packed --from "$work/base.tar.gz" --verify
[ "$before" != "$(stat -c '%i %z' "$packed")" ] || fail "--verify has believed what was kept"
lv cache verify 2> "$work/verify.log"
lines verify '[1-9][0-9]* whole, 0 damaged and removed' 1
truncate -s -1 "$packed"
lv cache verify 2> "$work/verify.log"
lines verify 'archive [0-9a-f]{64}: is removed' 1
one packed --from "$work/base.tar.gz"
one packed --from "$work/base.tar.gz"
[ -e "$packed" ] || fail "it is not kept again"
lv cache prune archive 2> "$work/prune.log"
lines prune '^archive [0-9a-f]{64}: is removed' 1

part "a file system that is short of space is told of in one line"
forget disk tree boot image
LAYERVM_CACHE_MIN_FREE=1000T one short --from "$work/base.tar.gz"
lines short 'nothing is added to .*LAYERVM_CACHE_MIN_FREE' 1
rm -rf "$work/cache"
LAYERVM_CACHE_MIN_FREE=1000T one short
lines short 'nothing is added to' 1
lines short '^guest: boots' 1

part "one that is full while the disk is written: it is made elsewhere"
mkdir "$work/small"
# small SIZE NAME FLAG...: a build with a cache of so many bytes.
small() {
  local size=$1 name=$2
  shift 2
  # shellcheck disable=SC2016
  LAYERVM_CACHE_DIR=$work/small TMPDIR=$lv_tmp "${unshare[@]}" sh -ec '
    mount -t tmpfs -o "mode=700,size=$0" none "$1"
    shift
    exec "$@"' "$size" "$work/small" \
    "$LAYERVM_BINARY" build "${flags[@]}" --from "$work/base.tar" -o "$out/$name.tar" "$@" 2> "$work/$name.log" || {
    cat "$work/$name.log" >&2
    fail "a build with a cache of $size"
  }
  cmp "$work/first.tar" "$out/$name.tar"
}
if mount_namespace; then
  for size in 4k 64k 400k 1M; do
    small "$size" "full-$size"
    lines "full-$size" '^cache: ' 1
    lines "full-$size" 'No space left on device' 1
  done
  lines full-400k 'the base.s disk is made in the temporary folder instead' 1
  # Here the guest's memory does not fit, and the base's disk does.
  LAYERVM_CACHE_MAX_SIZE=1T small 40M full-guest
  lines full-guest '^guest: boots, because .* full' 1
  lines full-guest '^cache: ' 0
else
  skip_part mounts "no file system can be mounted"
fi
finish_parts
