#!/bin/bash
# The tests' own tools can fail: each way in which a program could misbehave is played by a small
# script in layervm's place, and must be caught.
. "${0%/*}/lib.sh"

pretend() {
  LAYERVM_BINARY=$work/pretended
  { echo '#!/bin/bash'; cat; } > "$LAYERVM_BINARY"
  chmod +x "$LAYERVM_BINARY"
}

# caught WORDS ARGUMENT...: expect_fail with these arguments fails, and says these words.
caught() {
  local words=$1
  shift
  if (trap - EXIT ERR; expect_fail "$@") > "$work/said" 2>&1; then
    fail "expect_fail let it pass: $words"
  fi
  grep -q "FAILED: $words" "$work/said" || { cat "$work/said" >&2; fail "not said: $words"; }
  find "$out" "$lv_tmp" -mindepth 1 -delete
  echo "   caught: $words"
}

echo "-- a program that fails as it should passes"
pretend <<< 'echo assemble; echo "layervm: warning: old" >&2; echo "layervm: spec: no name" >&2; exit 125'
sed -i 's/echo assemble;/echo assemble >\&2;/' "$LAYERVM_BINARY"
expect_fail 125 'spec: no name'

echo "-- what it must not do"
caught 'status 125, expected 7' 7 'spec: no name'
caught 'no such last line' 125 'input: '
caught 'more than one line with --quiet' 125 'spec: no name' -q
pretend <<< 'echo "layervm: spec: a" >&2; echo "layervm: spec: b" >&2; exit 125'
caught '2 error lines' 125 'spec: b'
pretend <<< 'echo x; echo "layervm: spec: a" >&2; exit 125'
caught 'something on standard output' 125 'spec: a'
pretend <<< "touch '$out/out.tar.part'; echo 'layervm: spec: a' >&2; exit 125"
caught 'left an output: out.tar.part' 125 'spec: a'
pretend <<< 'touch "$TMPDIR/disk"; echo "layervm: spec: a" >&2; exit 125'
caught 'left in TMPDIR: disk' 125 'spec: a'
pretend <<< 'setsid sleep 60 2> /dev/null & echo "layervm: spec: a" >&2; exit 125'
caught 'status 99, expected 125' 125 'spec: a'
grep -q 'left behind: process [0-9]* (sleep)' "$work/said" || fail "the process is not named"

echo "-- signals arrive when the text has come"
pretend <<'SCRIPT'
trap 'echo "layervm: interrupted: ended" >&2; exit 130' INT
echo ready >&2
while sleep 0.05; do :; done
SCRIPT
expect_fail 130 'interrupted: ended' --on ready=INT
pretend <<< 'echo "layervm: spec: a" >&2; exit 125'
caught 'status 97, expected 125' 125 'spec: a' --on never=INT

echo "-- a tree and its dumps agree: folder, tar, image with whiteouts, umoci"
mkdir -p "$work/tree/a dir/deep" "$work/tree/gone" "$work/tree/opaque"
printf 'x\n' > "$work/tree/a dir/"$'new\nline'
ln "$work/tree/a dir/"$'new\nline' "$work/tree/ünïcode"
ln -s 'to nowhere' "$work/tree/link"
mkfifo "$work/tree/fifo"
chmod 4751 "$work/tree/a dir/deep"
touch "$work/tree/opaque/old" "$work/tree/gone/x"
if setfattr -n user.note -v $'a=b\n\\' "$work/tree/ünïcode" 2> /dev/null; then
  echo "   with xattrs"
fi
find "$work/tree" -exec touch -h -d '2001-02-03 04:05:06.123456789' {} +
bsdtar --format pax -cf "$work/tree.tar" -C "$work/tree" .
dump folder "$work/tree" > "$work/folder.dump"
dump tar "$work/tree.tar" > "$work/tar.dump"
same "$work/folder.dump" "$work/tar.dump"
[ "$(wc -l < "$work/folder.dump")" = 11 ] || fail "the dump has another number of lines"

mkdir -p "$work/upper/opaque" "$work/upper/new"
touch "$work/upper/.wh.gone" "$work/upper/opaque/.wh..wh..opq" "$work/upper/opaque/young"
tar_folder "$work/upper" "$work/upper.tar"
docker_archive "$work/two.tar" self:test '{}' "$work/tree.tar" "$work/upper.tar"
dump image "$work/two.tar" --no-mtime | cut -d' ' -f1,2 > "$work/image.names"
same_text "$work/image.names" <<'TREE'
/ d
/a\x20dir d
/a\x20dir/deep d
/a\x20dir/new\x0aline f
/fifo p
/link l
/new d
/opaque d
/opaque/young f
/\xc3\xbcn\xc3\xafcode f
TREE
if is_missing root umoci skopeo; then
  not_here "$lacking"
else
  umoci_rootfs "docker-archive:$work/two.tar" "$work/unpacked"
  dump folder "$work/unpacked" > "$work/umoci.dump"
  dump image "$work/two.tar" > "$work/image.dump"
  same "$work/umoci.dump" "$work/image.dump"
fi
