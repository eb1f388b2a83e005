#!/bin/bash
# A layer that is not the one its config names is never shown. The digests are computed while the
# tar is written: a file with such a layer gets no name, a pipe and a list not one byte of it.
. "${0%/*}/lib.sh" || exit
expect_command=(export)

part "one byte of a layer is another"
mkdir "$work/root"
head -c 3000000 /dev/urandom > "$work/root/large"
echo "the marked file" > "$work/root/marked"
tar -C "$work/root" -cf "$work/rootfs.tar" .
lv build -q --from "$work/rootfs.tar" -t verify:1 -o "$work/image.tar"
sed 's/the marked file/The marked file/' "$work/image.tar" > "$work/changed.tar"
cmp -s "$work/image.tar" "$work/changed.tar" && fail "nothing was changed"
words='input: .*changed.tar: layer 1 of 2 .*: expected the (digest|diff ID) sha256:'
expect_fail 125 "$words" -q "$work/changed.tar" -o "$out/x.tar"
expect_fail 125 "$words" -q "$work/changed.tar"
expect_fail 125 "$words" -q "$work/changed.tar" --list

part "the right one goes both ways"
lv export -q "$work/image.tar" -o "$out/x.tar"
lv export -q "$work/image.tar" | cmp - "$out/x.tar"

# bytes_read FLAG...: how many bytes an export of the image reads.
bytes_read() {
  bash -c '"$@" > /dev/null && sed -n "s/^rchar: //p" /proc/$$/io' _ \
    "$LAYERVM_BINARY" export -q "$work/image.tar" -o "$out/x.tar" "$@"
}

part "an archive that was verified is known, and not hashed again"
# An archive that was written just now is not known by its times.
sleep 2.1
rm -rf "$LAYERVM_CACHE_DIR/image"
first=$(bytes_read)
second=$(bytes_read)
verified=$(bytes_read --verify)
[ $((second + 3000000)) -lt "$first" ] || fail "$second bytes were read of a known one, $first at first"
[ "$verified" -ge "$first" ] || fail "$verified bytes were read with --verify, $first at first"
lv export -q "$work/image.tar" --verify | cmp - "$out/x.tar"

part "diff knows it too, and shows nothing of one that is wrong"
rm "$out/x.tar"
rm -rf "$LAYERVM_CACHE_DIR/image"
lv diff -q "$work/image.tar" "$work/image.tar" > "$work/list"
[ ! -s "$work/list" ] || fail "an image differs from itself"
[ "$(find "$LAYERVM_CACHE_DIR/image" -type f | wc -l)" = 1 ] || fail "diff has not kept what it knows"
expect_command=(diff)
expect_fail 125 "$words" -q "$work/image.tar" "$work/changed.tar"
