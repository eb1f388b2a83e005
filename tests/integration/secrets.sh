#!/bin/bash
# A secret is read by the script, and is nowhere afterwards: not in the layer, the archive, the
# disks that are kept, the cache folder, or anything that was said.
. "${0%/*}/lib.sh"

export LAYERVM_CACHE_DIR=$work/cache
base_busybox "$work/base.tar"
secret=$(head -c 24 /dev/urandom | sha256sum | cut -d' ' -f1)
variable=$(head -c 24 /dev/urandom | sha256sum | cut -d' ' -f1)
printf '%s' "$secret" > "$work/secret"
mkdir "$work/src"
echo x > "$work/src/x"
export LAYERVM_TEST_VARIABLE=$variable

part "a secret of a file and one of a variable, in a build that keeps all it can"
# The digests let the script know what it reads without bringing it anywhere itself.
cat > "$work/script" <<SCRIPT
[ "\$(sha256sum < /run/secrets/file)" = "$(printf '%s' "$secret" | sha256sum)" ]
[ "\$(sha256sum < /run/secrets/variable)" = "$(printf '%s' "$variable" | sha256sum)" ]
[ "\$(stat -c '%a %u:%g' /run/secrets/file)" = "400 0:0" ]
[ "\$(ls /run/secrets | head -n 3)" = "file
variable" ]
grep -q ' /run/secrets ramfs ro' /proc/mounts
! echo > /run/secrets/file 2> /dev/null
! touch /run/secrets/new 2> /dev/null
cp /bin/busybox /copy
env
echo an echo
SCRIPT
build -t secrets:1 --from "$work/base.tar" --run "$work/script" -o "$work/out.tar" \
  --metadata-file "$work/metadata" --keep "$work/keep" \
  --secret "id=file,src=$work/secret" --secret id=variable,env=LAYERVM_TEST_VARIABLE \
  --mount "type=bind,src=$work/src,dst=/src,rw=true" --mount type=cache,id=c,dst=/c
grep -q 'an echo' "$work/build.log" || fail "no output of the script"
top_layer "$work/out.tar" "$work/layer.tar"
dump entries "$work/layer.tar" --no-mtime | sed 's/ .*//' > "$work/entries"
same_text "$work/entries" <<'ENTRIES'
copy
ENTRIES
rm "$work/secret"

# The control: a secret that the script copies is found where it is looked for.
printf '%s' "$secret" > "$work/control"
build -t secrets:2 --from "$work/base.tar" --run 'cat /run/secrets/file > /leak; sync' \
  -o "$work/leak.tar" --keep "$work/leak-keep" --secret "id=file,src=$work/control"
rm "$work/control"
grep -rlF -e "$secret" "$work" | sort > "$work.found" || true
sed -i "s|^$work/||" "$work.found"
mv "$work.found" "$work/found"
same_text "$work/found" <<'FOUND'
leak-keep/overlay.qcow2
leak.tar
FOUND
grep -rlF -e "$variable" "$work" | grep -v '/found$' && fail "the variable's value was left"

part "secrets of a spec"
export LAYERVM_TEST_VARIABLE=$variable
printf '%s' "$secret" > "$work/secret"
cat > "$work/spec.json" <<SPEC
{"name": "spec", "tag": "1", "fromImage": "base.tar",
 "runAsRoot": "sha256sum /run/secrets/file /run/secrets/variable; echo > /ran",
 "secrets": [{"id": "file", "src": "secret"}, {"id": "variable", "env": "LAYERVM_TEST_VARIABLE"}]}
SPEC
(cd / && build "$work/spec.json" -o "$work/spec.tar")
rm "$work/secret"
unset LAYERVM_TEST_VARIABLE
for value in "$secret" "$variable"; do
  grep -q "^$(printf '%s' "$value" | sha256sum | cut -d' ' -f1)  /run/secrets/" "$work/build.log" ||
    fail "a secret of the spec did not reach the guest: $(cat "$work/build.log")"
done
top_layer "$work/spec.tar" "$work/layer.tar"
dump entries "$work/layer.tar" --no-mtime | sed 's/ .*//' > "$work/entries"
same_text "$work/entries" <<< ran

part "the network of a spec"
if ! is_missing passt; then
  cat > "$work/spec.json" <<'SPEC'
{"name": "spec", "tag": "1", "fromImage": "base.tar", "network": "user",
 "runAsRoot": "grep -q nameserver /etc/resolv.conf; ls /sys/class/net; echo > /ran"}
SPEC
  build "$work/spec.json" -o "$work/spec.tar"
  grep -qx eth0 "$work/build.log" || fail "no interface: $(cat "$work/build.log")"
  top_layer "$work/spec.tar" "$work/layer.tar"
  dump entries "$work/layer.tar" --no-mtime | sed 's/ .*//' > "$work/entries"
  same_text "$work/entries" <<< ran
else
  skip_part "$lacking"
fi

part "symlinks of the image do not lead the secrets over it"
mkdir -p "$work/odd/run"
ln -s / "$work/odd/run/secrets"
tar_folder "$work/odd" "$work/odd.tar"
member "$work/base.tar" "$(layers "$work/base.tar")" > "$work/lower.tar"
docker_archive "$work/odd-base.tar" odd:1 '{"Env":["PATH=/bin"]}' "$work/lower.tar" "$work/odd.tar"
expect_fail 125 'spec: secrets: /run/secrets leads to / in the image, which is not empty' \
  --from "$work/odd-base.tar" -t x:1 --run true -o "$out/x.tar" --secret id=s,env=HOME

part "what is no secret"
head -c 500001 /dev/zero > "$work/long"
expect_fail 125 'input: secrets: a: has more than 500000 bytes' -t x:1 --from "$work/base.tar" \
  --run true -o "$out/x.tar" --secret "id=a,src=$work/long"
expect_fail 125 'spec: secrets: a: .*/none: No such file' -t x:1 --from "$work/base.tar" \
  --run true -o "$out/x.tar" --secret "id=a,src=$work/none"
head -c 500000 /dev/urandom > "$work/longest"
build -t secrets:3 --from "$work/base.tar" -o "$work/longest.tar" \
  --secret "id=a,src=$work/longest" \
  --run "[ \"\$(sha256sum < /run/secrets/a)\" = '$(sha256sum < "$work/longest")' ]"
