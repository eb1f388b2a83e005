#!/bin/bash
# Images that mean harm: each known kind is refused in one line, or gives a tree that stays inside.
# The folder that they are after, and the one that layervm runs in, stay as they were.
. "${0%/*}/lib.sh" || exit
expect_command=(export)

canary=$work/canary
mkdir "$canary" "$work/hostile" "$work/cwd"
echo untouched > "$canary/canary"
# What a name that leads out would find, were it followed.
echo '{}' > "$canary/config.json"
tar_folder "$canary" "$work/layer.tar"
mv "$work/layer.tar" "$canary/layer.tar"
dump folder "$canary" > "$work/canary.dump"
"$here/tools/hostile.py" "$work/hostile" "$canary" > "$work/table"
[ "$(wc -l < "$work/table")" -ge 35 ] || fail "the table is short: $(wc -l < "$work/table")"

cd "$work/cwd"
while IFS=$'\t' read -r name what words; do
  echo "-- $name"
  if [ "$what" = refuse ]; then
    expect_fail 125 "input: .*($words)" -q "$work/hostile/$name.tar" -o "$out/x.tar"
  else
    lv export -q "$work/hostile/$name.tar" -o "$work/rootfs.tar"
    dump tar "$work/rootfs.tar" | awk '{ printf "%s%s %s", (NR > 1 ? " " : ""), $1, $2 } END { print "" }' \
      > "$work/found"
    same_text "$work/found" <<< "$words"
  fi
done < "$work/table"

dump folder "$canary" > "$work/found.dump"
same "$work/canary.dump" "$work/found.dump"
[ -z "$(ls -A "$work/cwd")" ] || fail "left in the current folder: $(ls -A "$work/cwd")"
lv export -q "$work/hostile/duplicates.tar" | tar xOf - ./x | grep -qx 2 || fail "the last of two does not stay"
