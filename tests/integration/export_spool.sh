#!/bin/bash
# What an export of large compressed layers puts into temporary files: nothing, where the layer has
# its files in the order of the output, else what must wait for its turn. A limit on the size of
# files is what tells. And that such an image is known after it was verified, as smaller ones are.
. "${0%/*}/lib.sh" || exit

# write_rootfs ORDER > TAR: 18 files of 4 MiB that cannot be compressed, sorted or reversed.
write_rootfs() {
  python3 - "$1" << 'PYTHON'
import io, random, sys, tarfile
names = [f"file-{letter}" for letter in "abcdefghijklmnopqr"]
out = tarfile.open(fileobj=sys.stdout.buffer, mode="w|", format=tarfile.USTAR_FORMAT)
for name in reversed(names) if sys.argv[1] == "reversed" else names:
    info = tarfile.TarInfo(name)
    info.size = 4 << 20
    out.addfile(info, io.BytesIO(random.Random(name).randbytes(info.size)))
out.close()
PYTHON
}

# limited MIB ARGUMENT...: layervm, which can make no file larger than that.
limited() {
  (
    ulimit -f $(($1 * 1024))
    lv "${@:2}"
  )
}

# make_image ORDER gzip|zstd: image.tar, whose one layer is rootfs.tar.
make_image() {
  echo "-- $1, $2"
  write_rootfs "$1" > "$work/rootfs.tar"
  "$2" -q -1 -c "$work/rootfs.tar" > "$work/blob"
  "$here/tools/one_layer.py" "$work/rootfs.tar" "$work/blob" "$2" "$work/image.tar"
  rm "$work/blob"
}

make_image sorted gzip
lv export -q "$work/rootfs.tar" > "$work/expected.tar"
limited 1 export -q "$work/image.tar" | cmp - "$work/expected.tar"
limited 1 inspect -q "$work/image.tar" > /dev/null
limited 1 export -q --list "$work/image.tar" > "$work/list"
[ "$(wc -l < "$work/list")" = 19 ] || fail "the list: $(cat "$work/list")"

make_image reversed zstd
# All are kept but the last one in the layer, which is the first in the output.
limited 69 export -q "$work/image.tar" | cmp - "$work/expected.tar"
if limited 67 export -q "$work/image.tar" 2> /dev/null | wc -c > "$work/size"; then
  fail "$(cat "$work/size") bytes, though not all can have been kept for their turn"
fi

part "the image is known once it was verified, until its file is changed"
# An archive that was written just now is not known by its times.
sleep 2.1
rm -rf "$LAYERVM_CACHE_DIR/image"
for flags in "" "" --verify; do
  # shellcheck disable=SC2086
  lv export -q "$work/image.tar" $flags | cmp - "$work/expected.tar"
  [ "$(find "$LAYERVM_CACHE_DIR/image" -type f | wc -l)" = 1 ] || fail "it is not known"
done
touch -r "$work/image.tar" "$work/time"
size=$(stat -c %s "$work/image.tar")
printf x | dd of="$work/image.tar" bs=1 seek=$((size / 2)) conv=notrunc status=none
touch -r "$work/time" "$work/image.tar"
expect_command=(export)
expect_fail 125 'input: .*image.tar: layer 1 of 1 .*: (expected the|is damaged)' -q "$work/image.tar" \
  -o "$out/x.tar"
