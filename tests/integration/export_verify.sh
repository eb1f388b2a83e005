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
