#!/bin/bash
# ACLs, times before 1970 and attributes of the kernel's largest size: other tools read what export
# writes, and export reads what they write.
. "${0%/*}/lib.sh" || exit

expect_eq() {
  [ "$1" = "$2" ] || fail "found: $1, not: $2"
}

mkdir "$work/read"
# An access ACL with user 7 and group 70000, a default ACL, 65,536 bytes, and times around 1970.
python3 - "$work/base.tar" << 'EOF'
import struct, sys, tarfile
NONE = 0xffffffff
def acl(*entries):
    return (struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *e) for e in entries)).decode("latin-1")
access = acl((1, 6, NONE), (2, 4, 7), (4, 4, NONE), (8, 6, 70000), (16, 6, NONE), (32, 0, NONE))
default = acl((1, 7, NONE), (2, 5, 12), (4, 5, NONE), (16, 5, NONE), (32, 0, NONE))
def put(t, name, kind=tarfile.REGTYPE, mode=0o660, mtime=0, **headers):
    i = tarfile.TarInfo(name)
    i.type, i.mode, i.mtime = kind, mode, mtime
    i.pax_headers = {k.replace("__", "."): v for k, v in headers.items()}
    t.addfile(i)
# Python writes attributes as UTF-8, so they are made of bytes below 128 here, and NONE by hand.
with tarfile.open(sys.argv[1], "w", format=tarfile.PAX_FORMAT, encoding="latin-1") as t:
    def binary(name, key, value, **more):
        data = value.encode("latin-1")
        rest = len(key) + len(data) + 3
        size = rest + len(str(rest))
        size += len(str(size)) != len(str(rest))
        record = b"%d %s=%s\n" % (size, key.encode(), data)
        head = tarfile.TarInfo("PaxHeaders/x")
        head.type, head.size = tarfile.XHDTYPE, len(record)
        t.fileobj.write(head.tobuf(tarfile.USTAR_FORMAT) + record + bytes(-len(record) % 512))
        put(t, name, **more)
        t.offset = t.fileobj.tell()
    binary("file", "SCHILY.xattr.system.posix_acl_access", access)
    binary("folder", "SCHILY.xattr.system.posix_acl_default", default, kind=tarfile.DIRTYPE, mode=0o750)
    binary("large", "SCHILY.xattr.user.large", "x" * 65536)
    put(t, "quarter", mtime=-0.25)
    put(t, "more", mtime=-1.25)
    put(t, "whole", mtime=-2)
    put(t, "after", mtime=0.75)
EOF
lv export -q "$work/base.tar" -o "$work/rootfs.tar"

echo "-- ACLs are text and attributes, and export reads its own tar"
grep -aq 'SCHILY.acl.access=user::rw-,user:7:r--,group::r--,group:70000:rw-,mask::rw-,other::---' "$work/rootfs.tar"
grep -aq 'SCHILY.acl.default=user::rwx,user:12:r-x,group::r-x,mask::r-x,other::---' "$work/rootfs.tar"
lv export -q "$work/rootfs.tar" | cmp - "$work/rootfs.tar"

echo "-- times before 1970 are those that Python and GNU tar read"
python3 - "$work/rootfs.tar" << 'EOF'
import sys, tarfile
expected = {"./quarter": -0.25, "./more": -1.25, "./whole": -2, "./after": 0.75}
with tarfile.open(sys.argv[1]) as t:
    found = {i.name: i.mtime for i in t if i.name in expected}
    large = t.getmember("./large").pax_headers["SCHILY.xattr.user.large"]
assert found == expected, found
assert large == "x" * 65536, len(large)
EOF
tar -xf "$work/rootfs.tar" -C "$work/read" ./quarter ./more ./after --warning=no-unknown-keyword --warning=no-timestamp
expect_eq "$(stat -c %.9Y "$work/read/quarter") $(stat -c %.9Y "$work/read/more")" "-0.250000000 -1.250000000"
tar -cf "$work/again.tar" --format=posix --pax-option=delete=atime,delete=ctime -C "$work/read" quarter more after
lv export -q "$work/again.tar" -o "$work/times.tar"
python3 - "$work/times.tar" << 'EOF'
import sys, tarfile
with tarfile.open(sys.argv[1]) as t:
    found = {i.name: i.mtime for i in t if i.isreg()}
assert found == {"./quarter": -0.25, "./more": -1.25, "./after": 0.75}, found
EOF

echo "-- an attribute of one byte more, and device numbers that Linux does not have, are refused"
python3 - "$work" << 'EOF'
import sys, tarfile
with tarfile.open(sys.argv[1] + "/large.tar", "w", format=tarfile.PAX_FORMAT) as t:
    i = tarfile.TarInfo("larger")
    i.pax_headers = {"SCHILY.xattr.user.large": "x" * 65537}
    t.addfile(i)
for name, numbers in (("major", (4096, 0)), ("minor", (0, 1 << 20)), ("wide", ((1 << 32) + 1, 3))):
    with tarfile.open(f"{sys.argv[1]}/{name}.tar", "w", format=tarfile.GNU_FORMAT) as t:
        i = tarfile.TarInfo("device-" + name)
        i.type, (i.devmajor, i.devminor) = tarfile.CHRTYPE, numbers
        t.addfile(i)
EOF
for name in large major minor wide; do
  if lv export -q "$work/$name.tar" > /dev/null 2> "$work/words"; then fail "$name.tar was taken"; fi
  case $name in
    large) grep -q 'larger: attribute user.large: .* 65537, where Linux takes' "$work/words" ;;
    *) grep -q "device-$name: device number .* is over Linux's 4095:1048575" "$work/words" ;;
  esac || fail "$(cat "$work/words")"
done

echo "-- tar --acls and bsdtar --acls bring ACLs back"
touch "$work/read/probe"
if is_missing root getfacl; then
  not_here "$lacking"
  exit
elif ! setfacl -m u:7:r "$work/read/probe" 2> "$work/words"; then
  not_here acls "$(cat "$work/words")"
  exit
fi
for tool in "tar --acls --warning=no-unknown-keyword --warning=no-timestamp" "bsdtar --acls -p"; do
  if is_missing "${tool%% *}"; then
    not_here "$lacking"
    continue
  fi
  rm -rf "$work/read"
  mkdir "$work/read"
  $tool -xf "$work/rootfs.tar" -C "$work/read" ./file ./folder
  expect_eq "$(getfacl -cnp "$work/read/file" | tr '\n' ' ')" \
    "user::rw- user:7:r-- group::r-- group:70000:rw- mask::rw- other::---  "
  expect_eq "$(getfacl -cndp "$work/read/folder" | tr '\n' ' ')" \
    "user::rwx user:12:r-x group::r-x mask::r-x other::---  "
done
