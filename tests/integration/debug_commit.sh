#!/bin/bash
# `layervm debug --commit`: what was done in a session becomes the layer that a build with the same
# commands makes, and an image that others load; a command that fails becomes none.
. "${0%/*}/lib.sh"

base_busybox "$work/base.tar"
expect_command=(debug --accel "$LAYERVM_TEST_ACCEL")
cat > "$work/commands" <<'COMMANDS'
set -e
rm /etc/passwd
mkdir -p /opt/app/bin
printf 'text\n' > /opt/app/file
ln /opt/app/file /opt/app/link
ln -s ../file /opt/app/bin/symlink
mkfifo /opt/fifo
mknod /opt/device c 7 8
chown 7:8 /opt/app
chmod 4755 /opt/app/file
rm /bin/true
mkdir /bin/true
dd if=/dev/zero of=/opt/sparse bs=1 count=1 seek=300000 2> /dev/null
mv /tmp /moved
COMMANDS

part "the same commands, by a build and in a session"
build --from "$work/base.tar" --run-file "$work/commands" -t same:1 -o "$work/built.tar"
lv debug --accel "$LAYERVM_TEST_ACCEL" "$work/base.tar" --command "$(cat "$work/commands")" \
  --commit -t same:1 -o "$work/committed.tar" --changes < /dev/null 2> "$work/stderr"
for archive in built committed; do
  top_layer "$work/$archive.tar" "$work/$archive.layer"
  dump entries --no-mtime "$work/$archive.layer" > "$work/$archive.entries"
  dump image --no-mtime "$work/$archive.tar" > "$work/$archive.image"
done
[ "$(wc -l < "$work/built.entries")" -ge 12 ] || fail "the layer lacks changes"
same "$work/built.entries" "$work/committed.entries"
same "$work/built.image" "$work/committed.image"

part "the config is the base's, the history tells of the session"
config "$work/built.tar" | jq -S .config > "$work/built.config"
config "$work/committed.tar" | jq -S .config > "$work/committed.config"
same "$work/built.config" "$work/committed.config"
config "$work/committed.tar" | jq -r '.history[-1].created_by' > "$work/history"
grep -q '^layervm debug: set -e' "$work/history" || fail "history: $(cat "$work/history")"

part "the list is what the layer holds"
grep -E '^[ACD] ' "$work/stderr" > "$work/listed"
lv diff "$work/base.tar" "$work/committed.tar" > "$work/diffed"
same "$work/diffed" "$work/listed"

part "a specification's name, copies and config go into the image"
mkdir -p "$work/files"
echo copied > "$work/files/copied"
jq -n --arg base "$work/base.tar" --arg files "$work/files" \
  '{name: "spec", tag: "v1", fromImage: $base, copyToRoot: $files, runAsRoot: "exit 1",
    config: {Cmd: ["/x"]}}' > "$work/spec.json"
lv debug -q --accel "$LAYERVM_TEST_ACCEL" "$work/spec.json" --command 'touch /session' \
  --env SECRET=of-the-session --commit -o "$work/spec.tar.gz" < /dev/null
gzip -dc "$work/spec.tar.gz" > "$work/spec.tar"
[ "$(member "$work/spec.tar" manifest.json | jq -r '.[0].RepoTags[0]')" = spec:v1 ] || fail "the name"
[ "$(config "$work/spec.tar" | jq -c '.config.Cmd')" = '["/x"]' ] || fail "the config"
config "$work/spec.tar" | grep -q of-the-session && fail "--env is in the config"
top_layer "$work/spec.tar" "$work/layer"
dump entries --no-mtime "$work/layer" | cut -d' ' -f1 > "$work/entries"
same_text "$work/entries" <<< $'copied\nsession'

part "a command that fails commits nothing"
expect_fail 9 'script: the command ended with status 9' -q "$work/base.tar" --command 'touch /x; exit 9' \
  --commit -t x:1 -o "$out/none.tar"

part "skopeo reads it"
if ! is_missing skopeo; then
  skopeo inspect "docker-archive:$work/committed.tar" > "$work/inspected"
  [ "$(jq -r '.Layers | length' "$work/inspected")" = 2 ] || fail "$(cat "$work/inspected")"
else
  skip_part "$lacking"
fi

part "docker loads it"
if start_docker; then
  docker_cli load -i "$work/committed.tar" > "$work/loaded"
  grep -q 'same:1' "$work/loaded" || fail "$(cat "$work/loaded")"
  stop_docker
else
  skip_part docker "$docker_reason"
fi
finish_parts
