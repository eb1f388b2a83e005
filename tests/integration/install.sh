#!/bin/bash
# The installed program, moved away from where it was built: it finds its guest beside itself, and
# its man pages are there.
. "${0%/*}/lib.sh"

cmake --install "$LAYERVM_BUILD" --prefix "$work/prefix" > "$work/install.log"
base_busybox "$work/base.tar"
mv "$work/prefix" "$work/moved"

part "it builds from where it is"
cd "$out"
env -u LAYERVM_GUEST_DIR "$work/moved/bin/layervm" build --quiet --accel "$LAYERVM_TEST_ACCEL" \
  --from "$work/base.tar" --run 'echo hi > /x' -t installed:1 -o "$out/image.tar"
top_layer "$out/image.tar" "$work/layer.tar"
dump entries "$work/layer.tar" --no-mtime | sed 's/ sha256:.*//' > "$work/entries"
same_text "$work/entries" <<'ENTRIES'
x f 0644 0:0 3
ENTRIES

part "its man pages name every command"
"$work/moved/bin/layervm" --help | sed -n '/^Commands:/,/^$/s/^  \([a-z]*\) .*/\1/p' > "$work/commands"
[ -s "$work/commands" ] || fail "no commands in --help"
while read -r command; do
  [ -s "$work/moved/share/man/man1/layervm-$command.1" ] || fail "no man page of $command"
done < "$work/commands"
[ -s "$work/moved/share/man/man5/layervm-spec.5" ] || fail "no man page of the specification"
