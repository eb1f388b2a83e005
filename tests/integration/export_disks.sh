#!/bin/bash
# Disks of virtual machines by the command line: in each format, with each way to divide them and
# each file system, a disk gives the very tar that an image of the same files gives, and differs
# from one in nothing but what was changed.
. "${0%/*}/lib.sh" || exit

need_appliance
! is_missing guestfish || skip "$lacking" "no guestfish, which makes the disks: install it"
! is_missing qemu-img || skip "$lacking" "no qemu-img, which makes disks of them: install qemu-utils"
! is_missing busybox || skip "$lacking" "no busybox: install busybox-static"

# make_system NAME FSTAB: $work/NAME.tar, which disks are filled from, and what `export` makes of it.
make_system() {
  "$here/tools/system.py" "$work/$1.tar" "$1" "$(command -v busybox)" "$2"
  lv export -q "$work/$1.tar" -o "$work/$1.expected.tar"
}
make_system xfs '/dev/vg/root / xfs defaults 0 0
'
make_system btrfs '/dev/sda1 / btrfs defaults 0 0
'
make_system ext4 '/dev/sda1 / ext4 defaults 0 0
'
mkdir "$work/data"
echo data > "$work/data/file"
tar_folder "$work/data" "$work/data.tar"

echo "-- four disks are made"
LIBGUESTFS_BACKEND=direct LIBGUESTFS_BACKEND_SETTINGS=force_tcg \
  guestfish > "$work/make.log" 2>&1 <<FISH || { cat "$work/make.log" >&2; fail "guestfish"; }
disk-create $work/lvm.qcow2 qcow2 512M
disk-create $work/mbr.raw raw 256M
disk-create $work/gpt.raw raw 256M
disk-create $work/whole.raw raw 128M
add $work/lvm.qcow2 format:qcow2
add $work/mbr.raw format:raw
add $work/gpt.raw format:raw
add $work/whole.raw format:raw
run
part-init /dev/sda gpt
part-add /dev/sda p 2048 -2048
pvcreate /dev/sda1
vgcreate vg /dev/sda1
lvcreate root vg 400
mkfs xfs /dev/vg/root
mount /dev/vg/root /
tar-in $work/xfs.tar / xattrs:true
umount /
part-disk /dev/sdb mbr
mkfs btrfs /dev/sdb1
mount /dev/sdb1 /
tar-in $work/btrfs.tar / xattrs:true
umount /
part-init /dev/sdc gpt
part-add /dev/sdc p 2048 206847
part-add /dev/sdc p 206848 -2048
mkfs ext4 /dev/sdc1
mkfs ext4 /dev/sdc2
mount /dev/sdc1 /
rmdir /lost+found
tar-in $work/ext4.tar / xattrs:true
umount /
mount /dev/sdc2 /
rmdir /lost+found
tar-in $work/data.tar /
umount /
pvcreate /dev/sdd
vgcreate single /dev/sdd
lvcreate data single 64
mkfs ext4 /dev/single/data
mount /dev/single/data /
rmdir /lost+found
tar-in $work/ext4.tar / xattrs:true
umount /
FISH
for pair in gpt:vmdk whole:vdi; do
  qemu-img convert -f raw -O "${pair#*:}" "$work/${pair%:*}.raw" "$work/${pair%:*}.${pair#*:}"
  rm "$work/${pair%:*}.raw"
done

# is_same DISK EXPECTED.tar [FLAG...]: what is exported of a disk, byte for byte. The disk stays.
is_same() {
  local disk=$1 expected=$2 before
  shift 2
  before=$(sha256sum < "$disk")
  lv export -q "$disk" -o "$work/found.tar" "$@"
  cmp "$expected" "$work/found.tar" || {
    dump tar "$expected" > "$work/expected.dump"
    dump tar "$work/found.tar" > "$work/found.dump"
    same "$work/expected.dump" "$work/found.dump"
    fail "the tars differ in their bytes only"
  }
  [ "$before" = "$(sha256sum < "$disk")" ] || fail "$disk was written to"
}

echo "-- qcow2: a GUID partition table, LVM, XFS"
is_same "$work/lvm.qcow2" "$work/xfs.expected.tar"

echo "-- raw: an MBR partition table, btrfs"
is_same "$work/mbr.raw" "$work/btrfs.expected.tar"

echo "-- vmdk: of two ext4 partitions the one that --root names, not the system's"
lv export -q "$work/data.tar" -o "$work/data.expected.tar"
lv export -q "$work/gpt.vmdk" --root /dev/sda2 -o "$work/found.tar"
dump tar "$work/found.tar" | sed 1d > "$work/found.dump"
dump tar "$work/data.expected.tar" | sed 1d > "$work/expected.dump"
same "$work/expected.dump" "$work/found.dump"

echo "-- vdi: a disk that is LVM's as a whole, ext4, not what its fstab says; what differs from a tar"
cp "$work/ext4.tar" "$work/changed.tar"
{
  tar -rf "$work/changed.tar" -C "$work/data" --owner=0 --group=0 ./file
  tar --delete -f "$work/changed.tar" ./opt/fifo
} 2> "$work/tar.log" || fail "$(cat "$work/tar.log")"
lv diff -q -v "$work/changed.tar" "$work/whole.vdi" --layer "$work/layer.tar" > "$work/list"
same_text "$work/list" <<'LIST'
D /file
A /opt/fifo
LIST
dump entries "$work/layer.tar" | sed 's/ .*//' > "$work/entries"
same_text "$work/entries" <<'LIST'
.wh.file
opt
opt/fifo
LIST

echo "-- what a disk does not do is refused before an appliance starts"
expect_command=(export)
expect_fail 125 'usage: --root: is for disks' -q "$work/data.tar" --root /dev/sda2
expect_fail 125 'usage: --vm: is for images' -q "$work/mbr.raw" --vm
expect_fail 125 'usage: --image: is for images' -q "$work/mbr.raw" --image a:1
qemu-img create -q -f qcow2 -b "$work/mbr.raw" -F raw "$work/over.qcow2"
expect_fail 125 'input: .*over.qcow2: a qcow2 image over a backing file' -q "$work/over.qcow2" -o "$out/x"
qemu-img create -q -f vmdk -o subformat=monolithicFlat "$work/flat.vmdk" 1M
expect_fail 125 'input: .*flat.vmdk: a vmdk image over other files' -q "$work/flat.vmdk" -o "$out/x"
qemu-img create -q -f vmdk -b "$work/gpt.vmdk" -F vmdk "$work/parent.vmdk"
expect_fail 125 'input: .*parent.vmdk: a vmdk image over other files' -q "$work/parent.vmdk" -o "$out/x"
# A header that tells of no descriptor, which QEMU looks at all the same.
printf '\0\0\0\0\0\0\0\0' | dd of="$work/parent.vmdk" bs=1 seek=28 conv=notrunc status=none
qemu-img info "$work/parent.vmdk" | grep -q '^backing file: ' || fail "QEMU sees no parent any more"
expect_fail 125 'input: .*parent.vmdk: a vmdk image over other files' -q "$work/parent.vmdk" -o "$out/x"
! pgrep -f "$lv_tmp" > /dev/null || fail "processes are left: $(pgrep -af "$lv_tmp")"
