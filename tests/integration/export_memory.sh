#!/bin/bash
# How much memory an export takes: 64 MiB and 300 bytes an entry at most, however large files are.
# LAYERVM_TEST_ENTRIES is the number of entries, 200,000 without it.
. "${0%/*}/lib.sh" || exit

entries=${LAYERVM_TEST_ENTRIES:-200000}
if ldd "$LAYERVM_BINARY" | grep -q libasan; then
  skip plain-build "the program is built with AddressSanitizer, whose memory is its own"
fi

# peak ARGUMENT...: the most memory that layervm had at once, in KiB.
peak() {
  TMPDIR=$lv_tmp python3 - "$LAYERVM_BINARY" "$@" <<'PYTHON'
import resource, subprocess, sys
subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
PYTHON
}

# within KIB LIMIT WHAT
within() {
  echo "   $3: $1 KiB, at most $2 KiB"
  [ "$1" -le "$2" ] || fail "$3 takes $1 KiB, more than $2"
}

echo "-- $entries entries"
"$here/tools/many.py" entries "$entries" > "$work/many.tar"
most=$((64 * 1024 + entries * 300 / 1024))
within "$(peak export -q "$work/many.tar")" "$most" export
within "$(peak export -q --list "$work/many.tar")" "$most" "export --list"
[ "$(lv export -q --list "$work/many.tar" | wc -l)" = $((entries + 1)) ] || fail "entries were lost"
rm "$work/many.tar"

echo "-- one large file"
"$here/tools/many.py" bytes $((400 << 20)) > "$work/large.tar"
within "$(peak export -q "$work/large.tar")" $((64 * 1024)) export
within "$(peak export -q "$work/large.tar" --compression gzip -o "$work/large.tar.gz")" $((64 * 1024)) "export, gzip"
within "$(peak export -q "$work/large.tar.gz")" $((64 * 1024)) "export of a gzip tar"
