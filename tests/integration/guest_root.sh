#!/bin/bash
# The image's root is the script's real root: user namespaces, mounts, loop devices, overlays and
# FUSE work as on a machine of its own, and nothing of them stays behind.
. "${0%/*}/lib.sh"

base_busybox "$work/base.tar"
image=(-q --from "$work/base.tar" -t root:1 -o "$out/root.tar")

# in_layer: the names in the new layer.
in_layer() {
  top_layer "$out/root.tar" "$work/layer.tar"
  tar tf "$work/layer.tar"
}

echo "-- user namespaces, of root and of others"
build "${image[@]}" --run 'test "$(unshare -Ur id -u)" = 0
unshare -Urm sh -ec "mount -t tmpfs t /tmp; echo hidden > /tmp/hidden"
unshare -Urpf --mount-proc sh -ec "test \$\$ = 1; test -d /proc/1"
echo "u:x:1000:1000::/:/bin/sh" >> /etc/passwd
su u -c "unshare -Ur id -u" > /u; test "$(cat /u)" = 0
test "$(readlink /proc/1/root)" = /'
same_text <(in_layer) <<< 'etc/
etc/passwd
u'

echo "-- the surroundings are where they were"
echo secret > "$work/secret"
mkdir "$work/folder"
echo file > "$work/folder/file"
build "${image[@]}" --secret "id=s,src=$work/secret" --mount type=tmpfs,dst=/tmp/t \
  --mount "type=bind,src=$work/folder,dst=/mnt/b" --run 'test "$(cat /run/secrets/s)" = secret
test "$(cat /mnt/b/file)" = file; echo x > /tmp/t/x; test -c /dev/null; test -t 0 || :
/dev/.layervm/bin/true; ls /dev/pts/ptmx; test -d /proc/self; test -d /sys/class
umount /mnt/b; test ! -e /mnt/b/file; mkdir /left; mount -t tmpfs t /left; echo x > /left/x'
same_text <(in_layer) <<< 'left/'
lv debug --accel "$LAYERVM_TEST_ACCEL" "$out/root.tar" --command 'unshare -Ur id -u; pwd' > "$work/debug" \
  2> "$work/debug.log" || fail "debug: $(cat "$work/debug.log")"
same_text "$work/debug" <<< $'0\n/'

echo "-- modules come when they are used, and no sooner"
build "${image[@]}" --run '! grep -E "^(loop|overlay|fuse) " /proc/modules
mkdir /o /o/l /o/u /o/w /o/m; echo low > /o/l/low
mount -t overlay o -o lowerdir=/o/l,upperdir=/o/u,workdir=/o/w /o/m
test "$(cat /o/m/low)" = low; echo up > /o/m/up; test "$(cat /o/u/up)" = up
unshare -Urm sh -ec "mount -t tmpfs t /tmp; mkdir /tmp/u /tmp/w /tmp/m
mount -t overlay o -o lowerdir=/o/l,upperdir=/tmp/u,workdir=/tmp/w /tmp/m; test -e /tmp/m/low"
umount /o/m; rm -r /o
: < /dev/fuse || :
dd if=/dev/zero of=/f bs=1024 count=512; mke2fs -F /f; mount -o loop /f /tmp; echo in > /tmp/in
test "$(cat /sys/block/loop0/loop/backing_file)" = /f
cp /f /g; losetup -f /g
test "$(grep -cE "^(loop|overlay|fuse) " /proc/modules)" = 3
! mount -t no-such-type n /tmp'
same_text <(in_layer) <<< $'f\ng'

echo "-- what was written through a loop device that the script left is in its file"
if is_missing debugfs; then
  not_here "$lacking"
else
  member "$work/layer.tar" f > "$work/f"
  [ "$(debugfs -R 'cat /in' "$work/f" 2> /dev/null)" = in ] || fail "/in is not in the file"
fi
