#!/bin/bash
# What layervm takes of tars is what GNU tar, bsdtar and Python's tarfile see in them; where those
# differ it refuses. LAYERVM_TEST_SEED chooses the first tar, LAYERVM_TEST_TARS how many there are.
. "${0%/*}/lib.sh" || exit

if is_missing bsdtar; then
  skip "$lacking"
fi
seed=${LAYERVM_TEST_SEED:-$((EPOCHSECONDS % 1000000))}
mkdir "$work/tars" "$work/made"

echo "-- what tools write: kinds, long names, holes, numbers that need room"
long=$(printf 'a-directory-with-a-name/%.0s' 1 2 3 4 5 6 7)
mkdir -p "$work/tree/$long" "$work/tree/short"
echo text > "$work/tree/short/file"
echo text > "$work/tree/$long/file"
ln "$work/tree/short/file" "$work/tree/short/hard"
ln -s file "$work/tree/short/soft"
ln -s "/$long/file" "$work/tree/short/soft-long"
mkfifo "$work/tree/fifo"
truncate -s 1M "$work/tree/holes"
printf 'x' | dd of="$work/tree/holes" bs=1 seek=300000 conv=notrunc status=none
touch -d '1969-12-31 23:59:59.75 UTC' "$work/tree/short/old"
cd "$work/tree"
for format in oldgnu gnu posix; do
  tar -cf "$work/made/gnu-$format.tar" --format="$format" --owner=:3000000 --group=:3000000 .
  tar -cf "$work/made/gnu-sparse-$format.tar" -S --format="$format" .
done
for version in 0.0 0.1 1.0; do
  tar -cf "$work/made/gnu-sparse-$version.tar" -S --format=posix --sparse-version=$version .
done
for format in v7 ustar; do
  tar -cf "$work/made/gnu-$format.tar" --format="$format" --exclude=short/soft-long \
    --exclude=short/old short holes
done
tar -cf "$work/made/gnu-xattrs.tar" --xattrs --xattrs-include='*' --acls .
tar -cf "$work/made/gnu-numeric.tar" --numeric-owner --sort=name --mtime=@-5 short fifo
for format in pax gnutar; do
  bsdtar -cf "$work/made/bsd-$format.tar" --format="$format" .
done
for format in ustar v7tar; do
  bsdtar -cf "$work/made/bsd-$format.tar" --format="$format" --exclude=short/soft-long \
    --exclude=short/old short holes
done
python3 - "$work/made" << 'EOF'
import sys, tarfile
for name, form in (("ustar", tarfile.USTAR_FORMAT), ("gnu", tarfile.GNU_FORMAT), ("pax", tarfile.PAX_FORMAT)):
    with tarfile.open(f"{sys.argv[1]}/python-{name}.tar", "w", format=form) as t:
        t.add("short/file" if name == "ustar" else ".")
EOF
if is_missing git; then
  not_here "$lacking" "a tar of git's"
else
  git init -q "$work/repository"
  echo x > "$work/repository/file"
  git -C "$work/repository" add file
  git -C "$work/repository" -c user.name=x -c user.email=x@x commit -q -m x
  git -C "$work/repository" archive --format=tar HEAD > "$work/made/git.tar"
fi
cd /
"$here/tools/tar_readers.py" "$LAYERVM_BINARY" "$work"/made/*.tar

echo "-- tars with odd headers: LAYERVM_TEST_SEED=$seed"
"$here/tools/tar_readers.py" "$LAYERVM_BINARY" "$work/tars" "$seed" "${LAYERVM_TEST_TARS:-400}"

if is_missing root umoci; then
  not_here "$lacking" "umoci, as root"
  exit
fi
echo "-- the same by umoci, which reads as container runtimes do"
"$here/tools/tar_readers.py" "$LAYERVM_BINARY" "$work/tars" "$((seed + 1000))" 40 umoci
