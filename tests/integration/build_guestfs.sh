#!/bin/bash
# libguestfs in a build: the disk that the guest wrote read by its appliance gives the same image,
# and the disk of a virtual machine serves as the base.
. "${0%/*}/lib.sh"

need_appliance
base_busybox "$work/base.tar"
script='echo new > /new; chmod 0700 /etc; ln /new /also; mkfifo /pipe; rm -f /etc/passwd; mkdir -p /a/b'

part "both readers give the same image"
for reader in own guestfs; do
  build --from "$work/base.tar" --run "$script" --reader "$reader" -t same:1 \
    -o "$out/$reader.tar"
done
cmp "$out/own.tar" "$out/guestfs.tar"

part "a disk as the base"
mkdir "$work/root"
truncate -s 64M "$work/disk.img"
mkdir -p "$work/root/bin" "$work/root/etc"
echo disk > "$work/root/etc/from"
cp "$(command -v busybox)" "$work/root/bin/busybox"
ln -s busybox "$work/root/bin/sh"
mke2fs -q -t ext4 -E root_owner=0:0 -d "$work/root" "$work/disk.img"
build --from "$work/disk.img" --run 'cat /etc/from > /copied' -t disk:1 \
  -o "$out/disk.tar"
top_layer "$out/disk.tar" "$work/layer.tar"
dump entries "$work/layer.tar" --no-mtime | sed 's/ sha256:.*//' > "$work/entries"
same_text "$work/entries" <<'ENTRIES'
copied f 0644 0:0 5
ENTRIES
