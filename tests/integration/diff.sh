#!/bin/bash
# What differs between two images: as a list, in words, and as a layer which makes the one of the
# other. LAYERVM_TEST_SEED chooses the first pair of random images.
. "${0%/*}/lib.sh" || exit
expect_command=(diff)

echo "-- a bit of everything, in words"
mkdir -p "$work/a/dir/below" "$work/a/gone" "$work/a/kept"
cd "$work/a"
echo one > content
echo one > size
echo one > mode
echo one > owner
echo one > dated
echo one > attributes
echo one > becomes-link
echo one > linked
ln linked linked-too
ln -s one symlink
echo x > dir/below/x
echo x > gone/x
echo x > kept/x
cd - > /dev/null
# tarred NAME COMMAND: the folder a as a tar, after a command that runs in it. The attributes
# are those of a pax header, so that no file system need have them.
tarred() {
  (cd "$work/a" && eval "$2")
  tar --owner=0 --group=0 --numeric-owner --sort=name --format=posix \
    --pax-option=delete=atime,delete=ctime --mtime=@1000000000 -C "$work/a" -cf "$work/$1.tar" .
}
tarred a true
tarred b '
  echo two > content; echo longer > size; chmod 600 mode; ln -sf x becomes-link
  rm linked-too; ln -sfn two symlink; rm -r gone; rm -r dir; echo file > dir
  echo new > "new file"; mkdir new-dir; echo x > new-dir/x'
python3 - "$work/b.tar" <<'PYTHON'
import io, sys, tarfile
path = sys.argv[1]
with tarfile.open(path) as tar:
    members = [(m, tar.extractfile(m).read() if m.isreg() else b"") for m in tar]
with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
    for member, data in members:
        if member.name == "./owner":
            member.uid = 7
        if member.name == "./dated":
            member.pax_headers = {"mtime": "1000000001.5"}
        if member.name == "./attributes":
            member.pax_headers = {"SCHILY.xattr.user.new": "1"}
        tar.addfile(member, io.BytesIO(data))
PYTHON
lv diff -q "$work/a.tar" "$work/b.tar" > "$work/list"
same_text "$work/list" <<'LIST'
C /attributes
C /becomes-link
C /content
C /dated
C /dir
D /gone
D /linked-too
C /mode
A /new file
A /new-dir
A /new-dir/x
C /owner
C /size
C /symlink
LIST
lv diff -q -v "$work/a.tar" "$work/b.tar" > "$work/list"
same_text "$work/list" <<'LIST'
C /attributes
	xattr user.new added
C /becomes-link
	type file -> symlink
	mode 0644 -> 0777
C /content
	content
C /dated
	mtime 2001-09-09T01:46:40Z -> 2001-09-09T01:46:41.500000000Z
C /dir
	type directory -> file
	mode 0755 -> 0644
D /gone
D /linked-too
C /mode
	mode 0644 -> 0600
A /new file
A /new-dir
A /new-dir/x
C /owner
	owner 0:0 -> 7:0
C /size
	size 4 -> 7
C /symlink
	target one -> two
LIST
lv diff -q -v "$work/b.tar" "$work/a.tar" | grep -A 1 '^C /linked' > "$work/list"
same_text "$work/list" <<'LIST'
C /linked
	links 1 -> 2
LIST
lv diff -q -v "$work/b.tar" "$work/a.tar" | grep -A 1 '^C /attributes' > "$work/list"
same_text "$work/list" <<'LIST'
C /attributes
	xattr user.new deleted
LIST

echo "-- the same image has no difference"
lv diff -q -v "$work/a.tar" "$work/a.tar" > "$work/list"
[ ! -s "$work/list" ] || fail "a difference of nothing: $(head -n 3 "$work/list")"

echo "-- nothing of A is left where B says nothing, its root included"
mkdir "$work/bare"
chmod 700 "$work/bare"
touch "$work/bare/x"
tar --owner=5 --group=0 --numeric-owner --mtime=@0 -C "$work/bare" -cf "$work/said.tar" .
tar --owner=0 --group=0 --numeric-owner --mtime=@0 -C "$work/bare" -cf "$work/unsaid.tar" x
lv diff -q -v "$work/said.tar" "$work/unsaid.tar" > "$work/list"
same_text "$work/list" <<'LIST'
C /
	mode 0700 -> 0755
	owner 5:0 -> 0:0
C /x
	owner 5:0 -> 0:0
LIST

seed=${LAYERVM_TEST_SEED:-$((EPOCHSECONDS % 1000000))}
echo "-- random images, LAYERVM_TEST_SEED=$seed"
# images N: two random images, which share their lowest layers where N is even.
images() {
  local shared=()
  [ $(($1 % 2)) = 1 ] || shared=(--from "$1")
  "$here/tools/stack.py" "$1" "$work/a.tar"
  "$here/tools/stack.py" $(($1 + 500000)) "$work/b.tar" "${shared[@]}"
  dump image "$work/a.tar" > "$work/a.dump"
  dump image "$work/b.tar" > "$work/b.dump"
}
# without_root_time DUMP: the root's time alone is no change, and no layer says it.
without_root_time() {
  sed -E '1s/ - -?[0-9.]+/ -/' "$1"
}
for n in $(seq "$seed" $((seed + 5))); do
  images "$n"
  lv diff -q "$work/a.tar" "$work/b.tar" --layer "$work/layer.tar" > "$work/list" || fail "seed $n"
  "$here/tools/layer_check.py" "$work/a.dump" "$work/b.dump" > "$work/expected"
  diff -u "$work/expected" "$work/list" > "$work/difference" ||
    fail "seed $n: $(head -n 20 "$work/difference")"
  "$here/tools/layer_check.py" "$work/a.dump" "$work/b.dump" "$work/layer.tar" || fail "seed $n: the layer"
  lv diff -q "$work/a.tar" "$work/b.tar" --layer - | cmp - "$work/layer.tar"
  # The layer on A is B.
  lv export -q "$work/a.tar" -o "$work/a.rootfs.tar"
  docker_archive "$work/sum.tar" sum:1 '{}' "$work/a.rootfs.tar" "$work/layer.tar"
  lv export -q "$work/sum.tar" -o "$work/sum.rootfs.tar"
  dump tar "$work/sum.rootfs.tar" > "$work/sum.dump"
  without_root_time "$work/b.dump" > "$work/expected"
  without_root_time "$work/sum.dump" > "$work/found"
  diff -u "$work/expected" "$work/found" > "$work/difference" ||
    fail "seed $n: $(head -n 20 "$work/difference")"
  lv diff -q "$work/sum.tar" "$work/b.tar" > "$work/list"
  [ ! -s "$work/list" ] || fail "seed $n: $(head -n 3 "$work/list")"
done

echo "-- what does not fit is refused"
expect_fail 125 'usage: two images are wanted, there is one' -q a
expect_fail 125 'usage: two images are taken, c is a third' -q a b c
expect_fail 125 'usage: standard input cannot be both' -q - -
expect_fail 125 'input: .*no-such' -q "$work/a.tar" "$work/no-such.tar"
