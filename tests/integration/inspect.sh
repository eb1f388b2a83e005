#!/bin/bash
# What an archive holds: as a list and in full, for people and as JSON, against what skopeo says.
. "${0%/*}/lib.sh" || exit
expect_command=(inspect)

"$here/tools/stack.py" 5 "$work/stack.tar" --layers 3 --entries 10
mapfile -t digests < <(config "$work/stack.tar" | jq -r '.rootfs.diff_ids[]')
mapfile -t names < <(layers "$work/stack.tar")
sizes=()
for name in "${names[@]}"; do
  sizes+=("$(member "$work/stack.tar" "$name" | wc -c)")
done
id=sha256:$(config "$work/stack.tar" | sha256sum | cut -d' ' -f1)

part "JSON has stable keys, sizes and digests"
lv inspect -q "$work/stack.tar" --format json > "$work/found.json"
jq -n --arg id "$id" --arg tag stack:5 --argjson config "$(config "$work/stack.tar")" \
  --argjson sizes "$(jq -cn '$ARGS.positional' --jsonargs "${sizes[@]}")" '{
  layout: "docker",
  images: [{names: [$tag], digest: $id, os: "linux", architecture: "amd64", variant: null,
    layers: 3, size: ($sizes | add), attestation: false, missing: false}],
  image: {name: $tag, config: $config, layers: [range(3) as $n | {
    mediaType: "application/vnd.oci.image.layer.v1.tar", digest: $ARGS.positional[$n],
    size: $sizes[$n], diffId: $ARGS.positional[$n], tarSize: $sizes[$n]}]}
}' --args "${digests[@]}" | jq -S . > "$work/expected.json"
jq -S . "$work/found.json" > "$work/sorted.json"
same "$work/expected.json" "$work/sorted.json"

part "text has the names, platform and digests"
lv inspect -q "$work/stack.tar" > "$work/text"
for words in 'docker archive, 1 image' 'linux/amd64' '    stack:5' 'Image: stack:5' 'Layers: 3' \
  "$id" "${digests[@]}"; do
  grep -qF -- "$words" "$work/text" || fail "no \"$words\" in: $(cat "$work/text")"
done

part "a name with control characters does no harm to a terminal"
member "$work/stack.tar" "${names[0]}" > "$work/layer.tar"
docker_archive "$work/escape.tar" $'evil\e[31m:1' '{"User":"\u001b[2J","Cmd":["\u001b[2J"]}' \
  "$work/layer.tar"
lv inspect -q "$work/escape.tar" > "$work/text"
grep -qF 'User: \033[2J' "$work/text" || fail "no User in: $(cat "$work/text")"
grep -q $'\e' "$work/text" && fail "an escape sequence went through"

part "the same layers as skopeo says"
if is_missing skopeo; then
  skip_part "$lacking"
elif without fixtures || [ -z "${LAYERVM_FIXTURES-}" ]; then
  skip_part fixtures
else
  for source in "docker-archive busybox.docker.tar" "oci-archive alpine-3.14.containerd.tar" \
    "docker-archive dive-14-layers.docker.tar"; do
    read -r transport fixture <<< "$source"
    lv inspect -q "$LAYERVM_FIXTURES/$fixture" --format json |
      jq -c '.image.layers | map(.digest)' > "$work/found"
    skopeo inspect "$transport:$LAYERVM_FIXTURES/$fixture" | jq -c .Layers > "$work/expected"
    same "$work/expected" "$work/found"
  done
fi

part "what is wrong is refused, and what there is is still listed"
expect_fail 125 'usage: the image is missing' -q
expect_fail 125 'usage: --format: is "yaml"' -q "$work/stack.tar" --format yaml
expect_fail 125 'input: .*no-such' -q "$work/no-such.tar"
status=0
lv inspect -q "$work/stack.tar" --image other:1 > "$work/text" 2> "$work/stderr" || status=$?
[ "$status" = 125 ] || fail "status $status of an image that is not there"
grep -q '^layervm: input: .*stack:5' "$work/stderr" || fail "the names are not said: $(cat "$work/stderr")"
grep -q 'stack:5' "$work/text" || fail "the images are not listed"

finish_parts
