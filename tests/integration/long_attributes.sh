#!/bin/bash
# Attributes that are longer than a block of the disk: written by the guest's kernel they come into
# the layer whole, and on the disk of the next build the guest's kernel reads them again.
. "${0%/*}/lib.sh"

base_debian

# Numbers of system calls of x86-64: setxattr is 188, getxattr 191.
cat > "$work/set.sh" <<'SCRIPT'
set_attribute() { # PATH NAME LENGTH
  perl -e 'my $v = substr(join(",", 1 .. 20000), 0, $ARGV[2]);
    syscall(188, $ARGV[0], $ARGV[1], $v, length $v, 0) == 0 or die "setxattr: $!"' "$@"
}
mkdir /srv/folder
echo text > /srv/file
set_attribute /srv/folder trusted.short 100
set_attribute /srv/folder trusted.long 65536
set_attribute /srv/file user.block 4040
set_attribute /srv/file user.more 4041
set_attribute /srv/file user.much 30000
set_attribute /usr/bin/perl user.base 65536
! set_attribute /srv/file user.over 65537
SCRIPT
cat > "$work/get.sh" <<'SCRIPT'
get_attribute() { # PATH NAME
  perl -e 'my $v = "\0" x 70000;
    my $n = syscall(191, $ARGV[0], $ARGV[1], $v, length $v);
    $n >= 0 or die "getxattr: $!";
    substr($v, 0, $n) eq substr(join(",", 1 .. 20000), 0, $n) or die "other bytes";
    print "$ARGV[0] $ARGV[1] $n\n"' "$@"
}
{
  get_attribute /srv/folder trusted.short
  get_attribute /srv/folder trusted.long
  get_attribute /srv/file user.block
  get_attribute /srv/file user.more
  get_attribute /srv/file user.much
  get_attribute /usr/bin/perl user.base
} > /found
SCRIPT
cat > "$work/lengths" <<'LENGTHS'
/srv/folder trusted.short 100
/srv/folder trusted.long 65536
/srv/file user.block 4040
/srv/file user.more 4041
/srv/file user.much 30000
/usr/bin/perl user.base 65536
LENGTHS

echo "-- from the guest into the layer"
build --from "$debian" --run "$work/set.sh" -t set:1 -o "$out/set.tar"
top_layer "$out/set.tar" "$work/layer.tar"
python3 - "$work/layer.tar" "$work/lengths" <<'PYTHON'
import sys, tarfile
expected = ",".join(str(n) for n in range(1, 20001))
with tarfile.open(sys.argv[1]) as tar:
    found = {(("/" + m.name), k[len("SCHILY.xattr."):]): v for m in tar
             for k, v in m.pax_headers.items() if k.startswith("SCHILY.xattr.")}
for line in open(sys.argv[2]):
    path, name, length = line.split()
    assert found.pop((path, name)) == expected[:int(length)], line
assert not found, found.keys()
PYTHON

echo "-- from the layer onto the disk, and into the guest"
build --from "$out/set.tar" --run "$work/get.sh" -t get:1 -o "$out/get.tar"
top_layer "$out/get.tar" "$work/layer.tar"
member "$work/layer.tar" found > "$work/found"
same "$work/lengths" "$work/found"

echo "-- both ways to merge layers keep them"
lv export "$out/get.tar" -o "$work/host.tar"
lv export --vm --accel "$LAYERVM_TEST_ACCEL" "$out/get.tar" -o "$work/guest.tar" 2> "$work/log" ||
  { cat "$work/log" >&2; fail "export --vm"; }
cmp "$work/host.tar" "$work/guest.tar"
