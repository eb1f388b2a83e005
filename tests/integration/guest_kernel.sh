#!/bin/bash
# The guest's kernel comes out of a packed one, in whichever way that was packed.
. "${0%/*}/lib.sh"

unpack=$root/images/guest/unpack-vmlinux
head -c 300000 "$(command -v busybox || command -v bash)" > "$work/kernel"
size=$(wc -c < "$work/kernel")

# made SECTORS NAME [SIZE]: a bzImage $work/NAME.bz of $work/NAME.
made() {
  "$here/tools/bzimage.py" "$1" "$work/$2" "${@:3}" > "$work/$2.bz"
}

part "each way of packing that a kernel's build knows and that is read here"
gzip -9n < "$work/kernel" > "$work/gzip"
xz --check=crc32 --x86 --lzma2=preset=6 < "$work/kernel" > "$work/xz"
lz4 -l -9 - - < "$work/kernel" > "$work/lz4" 2> "$work/lz4.log"
zstd -q -19 < "$work/kernel" > "$work/zstd"
for way in gzip xz lz4 zstd; do
  # No sectors stand for four.
  for sectors in 0 4 39; do
    if [ $way = gzip ]; then
      made $sectors $way
    else
      made $sectors $way "$size"
    fi
    "$unpack" "$work/$way.bz" "$work/out.elf" || fail "$way, $sectors sectors"
    cmp "$work/kernel" "$work/out.elf" || fail "$way, $sectors sectors: other bytes"
  done
done

# refused WORDS NAME: the bzImage gives no kernel, and the words why.
refused() {
  ! "$unpack" "$work/$2.bz" "$work/no.elf" 2> "$work/refused.log" || fail "$2 is unpacked"
  grep -q "^unpack-vmlinux: $work/$2.bz: $1" "$work/refused.log" || fail "$(cat "$work/refused.log")"
}

part "what is no such kernel"
cp "$work/kernel" "$work/elf.bz"
refused 'no bzImage: no HdrS at byte 514' elf
cp "$work/kernel" "$work/plain"
made 4 plain "$size"
refused 'packed in a way that is not known' plain
cp "$work/zstd" "$work/short"
made 4 short $((size - 1))
refused "unpacked to $size bytes, not to $((size - 1))" short
for way in gzip xz lz4 zstd; do
  head -c 5000 "$work/$way" > "$work/cut"
  made 4 cut "$size"
  refused "cannot be unpacked by $way" cut
done
