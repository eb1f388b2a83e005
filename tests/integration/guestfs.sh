#!/bin/bash
# Disks read through libguestfs: a raw ext4 disk, a qcow2 one with partitions, LVM and two systems
# on it, and the disk that our own guest wrote, which must give the same layer as the other reader.
. "${0%/*}/lib.sh"

reader=$LAYERVM_BUILD/tests/integration/read_disk
need_appliance
has guestfish || skip "no guestfish, which makes the disks: install it"
has busybox || skip "no busybox: install busybox-static"

# read_disk ARGUMENT...: as in read_disk.c; what it says is left in $work/said.
read_disk() {
  TMPDIR=$lv_tmp "$reader" "$@" 2> "$work/said"
}

nothing_left() {
  [ -z "$(ls -A "$lv_tmp")" ] || fail "left in TMPDIR: $(ls -A "$lv_tmp")"
  ! pgrep -f "$lv_tmp" > /dev/null || fail "processes are left: $(pgrep -af "$lv_tmp")"
}

# A root file system that inspection takes for a system, with some of everything; busybox is its shell.
system_tar() { # FILE NAME
  python3 - "$1" "$2" "$(command -v busybox)" <<'PYTHON'
import io, sys, tarfile
acl = (b"\2\0\0\0\1\0\6\0\xff\xff\xff\xff\2\0\4\0\xd2\4\0\0"
       b"\4\0\4\0\xff\xff\xff\xff\x10\0\4\0\xff\xff\xff\xff\x20\0\0\0\xff\xff\xff\xff")
capability = b"\1\0\0\2\0\x20\0\0" + bytes(12)
def record(value):
    return value.decode("utf-8", "surrogateescape")
members = []
with tarfile.open(sys.argv[1], "w", format=tarfile.PAX_FORMAT, encoding="utf-8",
                  errors="surrogateescape") as tar:
    def add(name, data=None, kind=tarfile.REGTYPE, mode=0o644, owner=(0, 0), link="",
            device=(0, 0), time="1234567890.123456789", **attributes):
        member = tarfile.TarInfo(name)
        member.type, member.mode, member.linkname = kind, mode, link
        member.uid, member.gid = owner
        member.devmajor, member.devminor = device
        member.size = len(data or b"")
        member.pax_headers = {"mtime": time}
        for key, value in attributes.items():
            member.pax_headers["SCHILY.xattr." + key.replace("__", ".")] = record(value)
        members.append((member, data or b""))
    def folder(name, **more):
        add(name, kind=tarfile.DIRTYPE, mode=more.pop("mode", 0o755), **more)
    folder("./")
    for name in "bin", "boot", "dev", "etc", "home", "opt", "proc", "sys", "tmp", "usr", "var":
        folder("./" + name, mode=0o1777 if name == "tmp" else 0o755)
    with open(sys.argv[3], "rb") as busybox:
        add("./bin/busybox", busybox.read(), mode=0o4755)
    add("./bin/sh", kind=tarfile.SYMTYPE, mode=0o777, link="busybox")
    add("./etc/os-release", f'ID=debian\nNAME={sys.argv[2]}\nPRETTY_NAME="{sys.argv[2]} 1"\n'
        'VERSION_ID="1"\n'.encode())
    add("./etc/debian_version", b"12.1 " + sys.argv[2].encode() + b"\n")
    add("./etc/fstab", b"/dev/vg/root / xfs defaults 0 0\n/dev/vda2 /boot ext4 defaults 0 0\n"
        b"/dev/vdz9 /nowhere ext4 defaults 0 0\n" if sys.argv[2] == "First" else
        b"/dev/vg/other / ext4 defaults 0 0\n")
    add("./boot/grub.cfg", b"# nothing\n")
    add("./opt/owner", b"1", owner=(70000, 4294967294), time="-1.75")
    add("./opt/acl", b"2", mode=0o640, system__posix_acl_access=acl)
    add("./opt/cap", b"3", mode=0o755, security__capability=capability)
    add("./opt/attr", b"4", user__binary=b"\0\1\n=", trusted__t=b"x")
    add("./opt/attr 2", kind=tarfile.LNKTYPE, link="./opt/attr")
    add("./opt/new\nline \\ é " + record(b"\xff\xfe"), b"5")
    add("./opt/sparse", bytes(3 << 20) + b"end" + bytes(1 << 20))
    add("./opt/" + "long" * 60, b"6")
    add("./opt/fifo", kind=tarfile.FIFOTYPE, mode=0o600)
    add("./opt/char", kind=tarfile.CHRTYPE, device=(0, 0))
    add("./opt/block", kind=tarfile.BLKTYPE, mode=0o660, device=(259, 262143))  # all that XFS can tell
    add("./opt/link", kind=tarfile.SYMTYPE, mode=0o777, link="/etc/passwd", time="5.000000001")
    add("./opt/far", kind=tarfile.SYMTYPE, mode=0o777, link="x" * 1000)
    # What is in a folder follows it: GNU tar sets its time then.
    for member, data in sorted(members, key=lambda pair: pair[0].name.split("/")):
        tar.addfile(member, io.BytesIO(data))
PYTHON
}

part "two systems in volumes of a qcow2 disk, /boot on a partition: both are offered, one is chosen"
system_tar "$work/first.tar" First
system_tar "$work/second.tar" Second
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
