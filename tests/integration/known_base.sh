#!/bin/bash
# A base that was used once is known: neither read nor merged nor assembled again. What comes out is
# the same, to the byte, as without a cache, and damage in the cache changes nothing but the time.
. "${0%/*}/lib.sh"

export LAYERVM_CACHE_DIR=$work/cache
script='echo hi > /x; rm -r /etc; chmod 0700 /bin; stat -c "%n %a %u %s" /bin/* > /list
cat /bin/busybox > /copy'
base_busybox "$work/base.tar"
# An archive that was written just now is not known by its times.
sleep 2.1

# name [FLAG...]: builds NAME.tar; its assemble line is in NAME.line.
make() {
  build --from "$work/base.tar" --run "$script" -t known:base "${@:2}" -o "$out/$1.tar"
  grep 'assemble' "$work/build.log" > "$work/$1.line" || true
}

is_known() {
  grep -q 'which the cache has' "$work/$1.line"
}

# disks: the base disks in the cache.
disks() {
  find "$work/cache/disk" -type f
}

echo "-- without the cache, at first, and from the cache: the same archive"
make plain --no-cache
[ ! -e "$work/cache" ] || fail "--no-cache made a cache"
make first
! is_known first || fail "a base was known before it was used"
[ "$(disks | wc -l)" = 1 ] || fail "the cache has no disk of the base, or more"
rm -rf "$work/cache/step" "$work/cache/layer"
make second
is_known second || fail "the base was not known: $(cat "$work/second.line")"
cmp "$out/plain.tar" "$out/first.tar"
cmp "$out/plain.tar" "$out/second.tar"

echo "-- no run has changed the disk"
# Of 64 GiB, almost all a hole, the beginning has the data.
before=$(head -c 256M "$(disks)" | sha256sum)
script="cp /bin/busybox /busybox; rm -rf /etc /bin; /busybox dd if=/dev/zero of=/z bs=64k count=100" make third
[ "$before" = "$(head -c 256M "$(disks)" | sha256sum)" ] || fail "the base's disk has changed"

echo "-- another size of the disk is another one"
make larger --disk-size 2048
! is_known larger || fail "the disk of another size was taken"
[ "$(disks | wc -l)" = 2 ] || fail "there are not two disks"

echo "-- files that are copied in, and mount points, do not go into the kept disk"
mkdir -p "$work/copied/dev"
echo copied > "$work/copied/dev/file"
for n in 1 2; do
  rm -rf "$work/cache/step" "$work/cache/layer"
  make "copied$n" --copy "$work/copied"
done
make copied-plain --no-cache --copy "$work/copied"
cmp "$out/copied1.tar" "$out/copied2.tar"
cmp "$out/copied1.tar" "$out/copied-plain.tar"

echo "-- a damaged disk, or tree, is made anew, with a line"
for kind in disk tree; do
  rm -rf "$work/cache/step" "$work/cache/layer"
  for file in "$work/cache/$kind"/*; do
    truncate -s -1 "$file"
  done
  make "damaged-$kind"
  ! is_known "damaged-$kind" || fail "a damaged $kind was taken"
  grep -q 'it is made anew' "$work/build.log" || fail "nothing is said of a damaged $kind"
  cmp "$out/plain.tar" "$out/damaged-$kind.tar"
  rm -rf "$work/cache/step" "$work/cache/layer"
  make again
  is_known again || fail "it was not made anew"
done

echo "-- an archive that was changed is not the one that is known"
cp "$work/base.tar" "$work/kept.tar"
offset=$(grep -obUa 'BusyBox v' "$work/base.tar" | head -n 1 | cut -d: -f1)
printf 'X' | dd of="$work/base.tar" bs=1 seek="$offset" conv=notrunc status=none
touch -r "$work/kept.tar" "$work/base.tar"
rm "$out"/*
expect_fail 125 'input: .*expected the d' --from "$work/base.tar" --run true -t known:base \
  -o "$out/bad.tar"
