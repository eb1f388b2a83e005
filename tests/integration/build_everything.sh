#!/bin/bash
# A script that makes one of everything over a real Debian base. What the guest's own tools saw at
# its end, what a reader of the archive sees, and what umoci unpacks must be the same, to the last
# nanosecond and attribute.
. "${0%/*}/lib.sh"

base_debian

cat > "$work/everything.sh" <<'SCRIPT'
setxattr() { # PATH NAME HEX
  perl -e 'my $v = pack("H*", $ARGV[2]);
    syscall(189, $ARGV[0], $ARGV[1], $v, length $v, 0) == 0 or die "setxattr $ARGV[0]: $!"' "$@"
}
mkdir /oracle

# New, changed, metadata only, times only.
mkdir -p /srv/new/deep
echo new > /srv/new/deep/file
echo 127.0.0.1 changed >> /etc/issue
chmod 0600 /etc/shells
chown 1234:5678 /etc/debian_version
chmod 6755 /usr/bin/wc
chmod 1733 /mnt
touch -d '2001-02-03 04:05:06.123456789' /etc/gai.conf
truncate -s 0 /etc/profile

# Renamed, deleted, deleted and made again, one kind after another.
mv /etc/apt /etc/apt-moved
rm -r /usr/share/doc
rm /etc/motd
rm -r /etc/cron.daily
mkdir /etc/cron.daily
echo again > /etc/cron.daily/again
rm /etc/host.conf
mkdir /etc/host.conf
rm -r /etc/skel
ln -s ../elsewhere /etc/skel
echo first > /srv/turns
rm /srv/turns
mkdir /srv/turns
rmdir /srv/turns
ln -s last /srv/turns
rm /usr/bin/clear_console
mknod /usr/bin/clear_console p

# Names of one file: new ones, one that joins a file of the base, one that leaves it.
echo linked > /srv/link-a
ln /srv/link-a /srv/link-b
ln /srv/link-a "/opt/link c"
ln /usr/bin/yes /opt/yes
ln -s "$(printf '%0200d' 0)" /srv/long-symlink
ln -s /etc/passwd /srv/short-symlink
ln /srv/short-symlink /srv/short-symlink-2

# What is no regular file.
mkfifo -m 0640 /srv/fifo
mknod -m 0600 /srv/char-0-0 c 0 0
mknod -m 0666 /srv/char c 1 3
mknod -m 0660 /srv/block b 259 1048575

# Attributes: a capability, ACLs, user's own, and one too big for the inode.
cp /usr/bin/true /srv/capable
setxattr /srv/capable security.capability 0100000200200000000000000000000000000000
setxattr /usr/bin/cat security.capability 0100000200040000000000000000000000000000
setxattr /srv/new user.binary 000aff3d0a
setxattr /srv/new/deep/file user.note text
setxattr /srv/new/deep system.posix_acl_access \
  0200000001000700ffffffff02000600d204000004000500ffffffff10000700ffffffff20000500ffffffff
setxattr /srv/new/deep system.posix_acl_default \
  0200000001000700ffffffff02000600d204000004000500ffffffff10000700ffffffff20000500ffffffff
touch /srv/new/deep/inherits
setxattr /srv/link-a user.big "$(printf '%03000d' 0)"

# Sizes.
truncate -s 1G /srv/sparse
printf end | dd of=/srv/sparse bs=1 seek=536870913 conv=notrunc status=none
truncate -s 5000 /srv/hole-at-end
: > /srv/empty
head -c 3000000 /dev/urandom > /srv/random
mkdir /srv/many
(cd /srv/many && seq -f 'file %05.0f' 3000 | xargs -d '\n' touch)

# Names and owners.
cd /srv/new
touch 'with space' "$(printf 'new\nline')" "$(printf 'tab\there')" '"quoted"' '$dollar`' '\back\slash' \
  'ünïcode-名前' "$(printf 'not-utf8-\377\376')" -- -dash '*' "$(printf '%0255d' 0)" .hidden '...'
mkdir -p "$(printf '%0120d/%0120d/%0120d' 1 2 3)"
touch "$(printf '%0120d/%0120d/%0120d/%0120d' 1 2 3 4)"
touch /srv/owned
chown 3000000000:4000000000 /srv/owned
chown 65536:100000 /srv/new/deep/file
touch -d '1960-01-01 00:00:00.5' /srv/old
touch -d '2200-01-01' /srv/far
SCRIPT
cat "$here/tools/guest_dump.sh" >> "$work/everything.sh"

# Later than anything that the script makes but one file, so that times stay as they are.
epoch=$(($(date +%s) + 86400))
build --from "$debian" --run "$work/everything.sh" -t everything:1 -o "$out/everything.tar" \
  --disk-size 2048 --source-date-epoch "$epoch"

echo "-- the archive holds what the guest saw"
# What is there for the script alone is not in the image: /etc/hosts, which the base lacks, is one.
own=(--exclude /oracle --exclude /dev --exclude /proc --exclude /sys --exclude /etc/hosts)
mkdir "$work/upper"
top_layer "$out/everything.tar" "$work/layer.tar"
tar xf "$work/layer.tar" -C "$work/upper" --warning=no-unknown-keyword oracle
# The root's own time is no part of a layer.
rootless() { sed -E 's|^(/ d .*) [0-9.-]+$|\1 -|'; }
dump guest "$work/upper/oracle" "${own[@]}" | rootless |
  sed "s|^\(/srv/far .* \)7258118400\.000000000|\1$epoch.000000000|" > "$work/guest.dump"
dump image "$out/everything.tar" "${own[@]}" | rootless > "$work/archive.dump"
[ "$(wc -l < "$work/guest.dump")" -gt 11000 ] || fail "the guest saw too little"
same "$work/guest.dump" "$work/archive.dump"

echo "-- what was mounted over is the base's"
for folder in dev proc sys; do
  dump tar "$debian" | grep -E "^/$folder( |/)" > "$work/base.$folder"
  dump image "$out/everything.tar" | grep -E "^/$folder( |/)" > "$work/new.$folder"
  same "$work/base.$folder" "$work/new.$folder"
done

echo "-- the layer is whole and no more than that"
dump tar "$debian" > "$work/base.dump"
dump image "$out/everything.tar" > "$work/all.dump"
"$here/tools/layer_check.py" "$work/base.dump" "$work/all.dump" "$work/layer.tar"

if is_missing root umoci skopeo; then
  not_here "$lacking"
else
  echo "-- umoci unpacks the same"
  umoci_rootfs "docker-archive:$out/everything.tar" "$work/unpacked"
  dump folder "$work/unpacked" "${own[@]}" | rootless > "$work/umoci.dump"
  same "$work/archive.dump" "$work/umoci.dump"
fi
