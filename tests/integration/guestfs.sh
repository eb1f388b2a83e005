#!/bin/bash
# Disks read through libguestfs: a raw ext4 disk, a qcow2 one with partitions, LVM and two systems
# on it, and the disk that our own guest wrote, which must give the same layer as the other reader.
. "${0%/*}/lib.sh"

reader=$LAYERVM_BUILD/tests/integration/read_disk
need_appliance
! is_missing guestfish || skip "$lacking" "no guestfish, which makes the disks: install it"
! is_missing busybox || skip "$lacking" "no busybox: install busybox-static"

# read_disk ARGUMENT...: as in read_disk.c; what it says is left in $work/said.
read_disk() {
  TMPDIR=$lv_tmp "$reader" "$@" 2> "$work/said"
}

nothing_left() {
  [ -z "$(ls -A "$lv_tmp")" ] || fail "left in TMPDIR: $(ls -A "$lv_tmp")"
  ! pgrep -f "$lv_tmp" > /dev/null || fail "processes are left: $(pgrep -af "$lv_tmp")"
}

part "two systems in volumes of a qcow2 disk, /boot on a partition: both are offered, one is chosen"
"$here/tools/system.py" "$work/first.tar" First "$(command -v busybox)" "/dev/vg/root / xfs defaults 0 0
/dev/vda2 /boot ext4 defaults 0 0
/dev/vdz9 /nowhere ext4 defaults 0 0
"
"$here/tools/system.py" "$work/second.tar" Second "$(command -v busybox)" "/dev/vg/other / ext4 defaults 0 0
"
LIBGUESTFS_BACKEND=direct LIBGUESTFS_BACKEND_SETTINGS=force_tcg \
  guestfish > "$work/make.log" 2>&1 <<FISH || { cat "$work/make.log" >&2; fail "guestfish"; }
disk-create $work/disk.qcow2 qcow2 1G
add $work/disk.qcow2 format:qcow2
run
part-init /dev/sda gpt
part-add /dev/sda p 2048 206847
part-add /dev/sda p 206848 411647
part-add /dev/sda p 411648 -2048
pvcreate /dev/sda3
vgcreate vg /dev/sda3
lvcreate root vg 400
lvcreate other vg 200
mkfs xfs /dev/vg/root
mkfs ext4 /dev/vg/other
mkfs ext4 /dev/sda2
mkswap /dev/sda1
mount /dev/vg/other /
tar-in $work/second.tar / xattrs:true
umount /
mount /dev/vg/root /
mkdir /boot
mount /dev/sda2 /boot
tar-in $work/first.tar / xattrs:true
FISH
chmod 444 "$work/disk.qcow2"
before=$(sha256sum < "$work/disk.qcow2")
status=0
read_disk image "$work/disk.qcow2" > "$work/none.tar" || status=$?
[ "$status" = 125 ] || fail "status $status for two systems"
grep -qE '^layervm: input: .*disk.qcow2: several .*/dev/vg/other \(12.1 Second\), /dev/vg/root \(12.1 First\): .*--root' \
  "$work/said" || fail "the systems are not listed: $(cat "$work/said")"
nothing_left

read_disk image "$work/disk.qcow2" /dev/vg/root > "$work/found.tar" || fail "$(cat "$work/said")"
dump tar "$work/first.tar" > "$work/expected.dump"
dump tar "$work/found.tar" --exclude /boot/lost+found > "$work/found.dump"
same "$work/expected.dump" "$work/found.dump"
[ "$before" = "$(sha256sum < "$work/disk.qcow2")" ] || fail "the disk was written to"
nothing_left

part "a raw disk of one file system without a system, by the command"
mkdir -p "$work/folder/sub"
echo hello > "$work/folder/sub/hello"
ln "$work/folder/sub/hello" "$work/folder/again"
ln -s sub/hello "$work/folder/link"
PATH=$PATH:/usr/sbin:/sbin mke2fs -q -t ext4 -d "$work/folder" "$work/disk.raw" 16M > "$work/make.log"
env -u LAYERVM_LIBEXEC_DIR TMPDIR="$lv_tmp" "$LAYERVM_BINARY" export "$work/disk.raw" \
  -o "$work/found.tar" 2> "$work/said" || fail "$(cat "$work/said")"
grep -q 'its only file system, /dev/sda (ext4), is taken' "$work/said" || fail "$(cat "$work/said")"
# mke2fs keeps no nanoseconds, and makes the root its own.
dump folder "$work/folder" --no-mtime | grep -v '^/ d' > "$work/expected.dump"
dump tar "$work/found.tar" --no-mtime --exclude /lost+found | grep -v '^/ d' > "$work/found.dump"
same "$work/expected.dump" "$work/found.dump"

part "interrupted, it leaves no process and no file"
TMPDIR=$lv_tmp timeout --preserve-status -s INT 4 "$reader" image "$work/disk.raw" \
  > "$work/none.tar" 2> "$work/said" && fail "it was not interrupted"
grep -q '^layervm: interrupted: ' "$work/said" || fail "$(cat "$work/said")"
nothing_left

part "the disk that a guest wrote gives the layer that libext2fs's reader made of it"
docker_archive "$work/base.tar" base:1 '{"Env":["PATH=/bin"]}' "$work/first.tar"
cat > "$work/script.sh" <<'SCRIPT'
b=/bin/busybox
$b mkdir -p /new/deep
echo new > /new/deep/file
$b chmod 4711 /bin/busybox
$b touch -d @1000000000 /etc/debian_version
$b mv /tmp /tmp-moved
$b rm /opt/sparse /opt/block
$b mkdir /opt/block
$b ln /etc/os-release /new/os-release
$b ln -s /nowhere /new/link
$b mv /opt/attr /new/attr-moved
$b chmod 600 /opt/acl
$b chown 5:6 /opt/cap
$b touch "/opt/attr 2"
$b mkfifo -m 600 /new/fifo
$b mknod /new/char c 0 0
$b mknod -m 660 /new/block b 259 1048575
$b chown 70000:4294967294 /new/char
$b truncate -s 5000000 /new/sparse
echo end >> /new/sparse
$b dd if=/dev/urandom of=/new/random bs=64k count=20 2> /dev/null
echo x > "/new/$($b printf 'new\nline \377')"
echo y > "/new/é"
SCRIPT
build --from "$work/base.tar" --run "$work/script.sh" -t new:1 --keep "$work/kept" \
  --source-date-epoch 1700000000 -o "$out/new.tar"
top_layer "$out/new.tar" "$work/layer.tar"
read_disk written "$work/first.tar" "$work/kept/disk.ext4" "$work/kept/overlay.qcow2" 1700000000 \
  > "$work/found.tar" || fail "$(cat "$work/said")"
dump entries "$work/layer.tar" > "$work/expected.dump"
dump entries "$work/found.tar" > "$work/found.dump"
same "$work/expected.dump" "$work/found.dump"
cmp "$work/layer.tar" "$work/found.tar"
nothing_left
finish_parts
