#!/bin/bash
# Saved guests: a run that goes on from one gives the same layer as a boot, with its own clock and
# random numbers; what is damaged or does not fit any more is made anew, with one line.
. "${0%/*}/lib.sh" || exit

base=$work/base.tar
base_busybox "$base"
export LAYERVM_CACHE_DIR=$work/cache
saved_line='^guest: is saved after its boot, for later runs$'
script='mkdir -p /a/b; echo hi > /a/b/c; ln /a/b/c /d; rm -r /etc; chmod 1777 /a'

# one ARGUMENT...: a build on the base to $out/x.tar; its lines are in $work/build.log.
one() {
  build --from "$base" -t warm:1 --metadata-file "$work/metadata.json" -o "$out/x.tar" "$@"
}

# restored true|false: whether the last build's guest went on from a saved one.
restored() {
  local found
  found=$(jq -r .guest.restored "$work/metadata.json")
  [ "$found" = "$1" ] || fail "restored: $found"
}

# saved yes|no: whether the last build saved a guest.
saved() {
  local found=no
  if grep -q "$saved_line" "$work/build.log"; then
    found=yes
  fi
  [ "$found" = "$1" ] || fail "saved: $found"
}

same_bytes() {
  cmp "$out/x.tar" "$work/first.tar" || fail "other bytes"
}

part "the first run saves a guest, the second goes on from it, and a boot gives the same bytes"
one --run "$script"
saved yes
restored true
mv "$out/x.tar" "$work/first.tar"
one --run "$script"
saved no
restored true
same_bytes
one --run "$script" --no-cache
saved no
restored false
same_bytes

part "twenty copies: no two give the same random bytes, and each knows the time"
for _ in $(seq 20); do
  before=$(date +%s)
  one --run 'head -c 64 /dev/urandom | od -An -v -tx1 | tr -d " \n" >&2; echo " urandom" >&2
    cat /proc/sys/kernel/random/uuid >&2; mktemp >&2; date "+%s seconds" >&2'
  after=$(date +%s)
  restored true
  grep -oE '^[0-9a-f]{128} urandom$|^[0-9a-f]{8}-[0-9a-f-]{27}$|^/tmp/tmp\.[A-Za-z0-9]{6}$' \
    "$work/build.log" >> "$work/random"
  then=$(sed -nE 's/^([0-9]{10}) seconds$/\1/p' "$work/build.log")
  if [ "$then" -lt "$before" ] || [ "$then" -gt "$after" ]; then
    fail "the guest says $then, between $before and $after"
  fi
done
[ "$(wc -l < "$work/random")" = 60 ] || fail "not all copies told all"
[ "$(sort -u "$work/random" | wc -l)" = 60 ] || fail "two copies gave the same"

part "a damaged memory or state is found, and made anew"
for kind in warm-memory warm-state; do
  file=$(find "$work/cache/$kind" -type f)
  [ "$(wc -l <<< "$file")" = 1 ]
  python3 - "$file" <<'PYTHON'
import sys
with open(sys.argv[1], "r+b") as f:
    data = f.read(1 << 22)
    # The first byte that says something, behind the state's own head.
    at = next(i for i in range(200, len(data)) if data[i])
    f.seek(at)
    f.write(bytes([data[at] ^ 1]))
PYTHON
  one --run "$script"
  same_bytes
  if [ "$kind" = warm-state ]; then
    # It is read before the guest's start.
    saved yes
    restored true
  else
    saved no
    restored false
    line="guest: boots, because a saved one cannot be used: the saved guest's memory: expected the digest"
    [ "$(grep -c "^$line" "$work/build.log")" = 1 ] || fail "not told"
    one --run "$script"
    saved yes
  fi
  one --run "$script"
  saved no
  restored true
  same_bytes
done

part "a cut memory and an empty state"
rm -rf "$work/cache"
one --run "$script"
truncate -s -4096 "$(find "$work/cache/warm-memory" -type f)"
one --run "$script"
restored false
same_bytes
one --run "$script"
saved yes
truncate -s 0 "$(find "$work/cache/warm-state" -type f)"
one --run "$script"
saved yes
restored true
same_bytes

part "other processors and another memory have saved guests of their own, and the same bytes"
count() {
  find "$work/cache/warm-state" -type f | wc -l
}
before=$(count)
for arguments in '--cpus 1' '--cpus 2' '--cpus 3' '--memory 300'; do
  for _ in 1 2; do
    # shellcheck disable=SC2086 # a flag and its value
    one --run "$script" $arguments
    restored true
    same_bytes
  done
  saved no
done
[ "$(count)" -gt "$before" ] || fail "no saved guest of their own"
one --run 'grep -c ^processor /proc/cpuinfo >&2' --cpus 3
grep -qx 3 "$work/build.log" || fail "not 3 processors"

part "one that is larger than the cache may be is used once, and not saved by every run"
rm -rf "$work/cache"
for max in 0 100M; do
  for time in first second; do
    LAYERVM_CACHE_MAX_SIZE=$max one --run "$script"
    same_bytes
    grep -qE '^(cache|guest): .*LAYERVM_CACHE_MAX_SIZE' "$work/build.log" || fail "$max: not told"
    case $max.$time in
      100M.first) saved yes && restored true ;;
      *) saved no && restored false ;;
    esac
  done
done
# The state is kept, since it tells how large the memory is.
[ "$(count)" = 1 ] || fail "not one state"
one --run "$script"
saved yes
one --run "$script"
saved no
restored true

part "a cache on a file system that gets full while a guest is saved"
mkdir "$work/small"
# small SIZE: a build with a cache of so many bytes, whose entries are listed behind its lines.
small() {
  # shellcheck disable=SC2016
  LAYERVM_CACHE_DIR=$work/small LAYERVM_CACHE_MAX_SIZE=1G TMPDIR=$lv_tmp "${unshare[@]}" sh -ec '
    mount -t tmpfs -o "mode=700,size=$0" none "$1"
    cd "$1"
    shift
    "$@"
    find . -type f -not -name ".*" >&2' "$1" "$work/small" \
    "$LAYERVM_BINARY" build --accel "$LAYERVM_TEST_ACCEL" --from "$base" -t warm:1 --run "$script" \
    -o "$out/x.tar" 2> "$work/build.log" || fail "$(cat "$work/build.log")"
  same_bytes
}
if mount_namespace; then
  small 48M
  grep -qE '^guest: boots, because it cannot be saved: .* its file takes no more after [34][0-9] MiB' \
    "$work/build.log" || fail "not told: $(cat "$work/build.log")"
  saved yes
  ! grep -qE '^\./warm-(memory|state)' "$work/build.log" || fail "something of it is left"
  grep -q '^\./warm-refusal' "$work/build.log" || fail "later runs are not told"
  # It has left the room to others.
  grep -q '^\./disk/' "$work/build.log" || fail "no disk: $(cat "$work/build.log")"
  # Of a guest that is saved in memory, a run takes more.
  small 160M
  grep -qE '^guest: boots, because .*: the cache is in memory, where a run may take [0-9]+ MiB for it' \
    "$work/build.log" || fail "not told: $(cat "$work/build.log")"
  small 24M
  saved no
  grep -q '^guest: boots, because it cannot be saved: it takes 32 MiB or more' "$work/build.log" ||
    fail "not told: $(cat "$work/build.log")"
else
  skip_part mounts "no file system can be mounted"
fi

part "two first builds at once"
rm -rf "$work/cache"
run_beside() {
  lv build --accel "$LAYERVM_TEST_ACCEL" --from "$base" -t warm:1 --run "$script" -o "$1" 2> "$1.log"
}
run_beside "$out/a.tar" &
first=$!
run_beside "$out/b.tar" &
second=$!
wait "$first" || fail "$(cat "$out/a.tar.log")"
wait "$second" || fail "$(cat "$out/b.tar.log")"
cmp "$out/a.tar" "$work/first.tar"
cmp "$out/b.tar" "$work/first.tar"
[ "$(cat "$out"/[ab].tar.log | grep -c "$saved_line")" = 1 ] || fail "$(cat "$out"/[ab].tar.log)"
rm "$out"/[ab].tar*
one --run "$script"
saved no
restored true

part "a build while the cache is being emptied"
remover_ends=$work/ends
{
  until [ -e "$remover_ends" ]; do
    find "$work/cache" -type f -delete 2> /dev/null || true
  done
} &
remover=$!
for _ in 1 2; do
  one --run "$script"
  same_bytes
done
touch "$remover_ends"
wait "$remover"
one --run "$script"
restored true
same_bytes

part "a guest that is saved is not left where the build is interrupted"
rm -rf "$work/cache"
rm "$out/x.tar"
expect_fail 130 'interrupted: ' --on 'is saved after its boot=INT' -- \
  --from "$base" -t warm:1 --run "$script" -o "$out/y.tar"
[ -z "$(find "$work/cache/warm-memory" "$work/cache/warm-state" -type f)" ] || fail "something was left in the cache"

part "without a cache folder of one's own guests boot, and it is said"
not_used='^nothing is cached: '
echo no > "$work/file"
LAYERVM_CACHE_DIR=$work/file/cache one --run "$script"
restored false
[ "$(grep -cE "$not_used|cache folder" "$work/build.log")" = 1 ] || fail "not said once"
same_bytes
mkdir -m 0777 "$work/open"
LAYERVM_CACHE_DIR=$work/open one --run "$script"
restored false
grep -q "$not_used" "$work/build.log"
[ -z "$(ls -A "$work/open")" ] || fail "something was left in a folder that is open to others"
if is_missing root; then
  not_here "$lacking" "the cache of another user"
else
  one --run "$script"
  chown -R 12345 "$work/cache"
  one --run "$script"
  restored false
  grep -q "$not_used" "$work/build.log"
  same_bytes
fi
