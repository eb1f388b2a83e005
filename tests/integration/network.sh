#!/bin/bash
# The network: none without asking; with --network user all that this machine can reach, but not
# its loopback; and neither addresses nor proxies of it in the image.
. "${0%/*}/lib.sh"

! is_missing passt || skip "$lacking" "no passt: install it"
export LAYERVM_CACHE_DIR=$work/cache
unset HTTP_PROXY http_proxy HTTPS_PROXY https_proxy FTP_PROXY ftp_proxy ALL_PROXY all_proxy \
  NO_PROXY no_proxy
base_debian
servers=()
stop_servers() {
  local pid
  for pid in "${servers[@]}"; do
    kill "$pid" 2> /dev/null || true
  done
}
trap 'stop_servers; finish' EXIT

# serve ADDRESS: a server there that says a word of its own by TCP, and by UDP to whom asks; sets
# $port. Fails where it cannot.
word=word-$$-$RANDOM$RANDOM
serve() {
  rm -f "$work/port"
  python3 - "$1" "$work/port" "$word" <<'PYTHON' > /dev/null 2>&1 &
import os, selectors, socket, sys
server = socket.create_server((sys.argv[1], 0))
datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
datagrams.bind(server.getsockname())
selector = selectors.DefaultSelector()
selector.register(server, selectors.EVENT_READ)
selector.register(datagrams, selectors.EVENT_READ)
word = sys.argv[3].encode() + b"\n"
with open(sys.argv[2] + ".new", "w") as f:
    f.write(str(server.getsockname()[1]))
os.rename(sys.argv[2] + ".new", sys.argv[2])
while True:
    for key, _ in selector.select():
        if key.fileobj is datagrams:
            datagrams.sendto(word, datagrams.recvfrom(1500)[1])
        else:
            connection, _ = server.accept()
            connection.sendall(word)
            connection.close()
PYTHON
  servers+=($!)
  until [ -e "$work/port" ]; do
    kill -0 $! 2> /dev/null || return 1
    sleep 0.05
  done
  port=$(cat "$work/port")
}

serve 127.0.0.1
loopback_port=$port
serve 127.0.0.2
second_loopback_port=$port
outer=$(python3 - <<'PYTHON'
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
try:
    s.connect(("192.0.2.123", 9))
    print(s.getsockname()[0])
except OSError:
    pass
PYTHON
)
if without network || [ -z "$outer" ]; then
  skip network "this machine has no network"
fi
serve "$outer"

# In the guest: hear ADDRESS PORT [udp] prints what a server says, by TCP unless told.
cat > "$work/hear" <<'SCRIPT'
hear() {
  timeout "${patience:-10}" bash -c 'exec 3<> "/dev/$2/$0/$1" && { [ $2 = tcp ] || echo >&3; } &&
    head -n 1 <&3' "$1" "$2" "${3:-tcp}" 2> /dev/null
}
SCRIPT

part "without asking there is no network"
# shellcheck disable=SC2016
build -t net:0 --from "$debian" -o "$work/none.tar" --run "$(cat "$work/hear")
[ \"\$(ls /sys/class/net)\" = lo ]
! hear $outer $port"

part "with it the machine's own address answers, its loopback does not, and the image stays as it was"
cat "$work/hear" - > "$work/script" <<SCRIPT
set -x
[ "\$(hear $outer $port)" = $word ]
for address in 127.0.0.1 198.51.100.1 198.51.100.2 198.51.100.3 $outer; do
  [ "\$(hear \$address $loopback_port)" != $word ]
done
[ "\$(cat /etc/resolv.conf)" = "nameserver 198.51.100.3" ]
grep -q '^10.9.8.7.box\$' /etc/hosts
[ "\$(getent hosts box)" = "10.9.8.7        box" ]
[ "\$(cat /sys/class/net/eth0/address)" = 52:54:00:12:34:56 ]
[ "\$http_proxy" = http://192.0.2.99:3128 ]
[ "\$HTTPS_PROXY" = https://its-own ]
SCRIPT
http_proxy=http://192.0.2.99:3128 HTTPS_PROXY=http://passed-over \
  build -t net:1 --from "$debian" -o "$work/user.tar" --network user --add-host box:10.9.8.7 \
  --env HTTPS_PROXY=https://its-own --run "$work/script"
top_layer "$work/user.tar" "$work/layer.tar"
dump entries "$work/layer.tar" --no-mtime > "$work/entries"
same_text "$work/entries" < /dev/null
config "$work/user.tar" | jq -r '.config.Env[]' | grep -i proxy > "$work/proxies"
same_text "$work/proxies" <<'PROXIES'
HTTPS_PROXY=https://its-own
PROXIES

part "no route of root's in the guest leads to this machine's loopback"
if ! is_missing busybox; then
  mkdir "$work/tools"
  cp "$(command -v busybox)" "$work/tools/"
  cat "$work/hear" - > "$work/script" <<SCRIPT
set -x
ip() { /mnt/busybox ip "\$@"; }
[ "\$(hear $outer $port udp)" = $word ]
echo 1 > /proc/sys/net/ipv4/conf/eth0/route_localnet
ip addr del 127.0.0.1/8 dev lo
ip link set lo down
ip route del 127.0.0.0/8 table local || true
ip route add 127.0.0.0/8 via 198.51.100.1 dev eth0
ip route get 127.0.0.1 | grep -q 'via 198.51.100.1 dev eth0'
patience=4
for protocol in tcp udp; do
  for address in 127.0.0.1 127.0.0.2 0.0.0.0; do
    for port in $loopback_port $second_loopback_port; do
      hear \$address \$port \$protocol >> /run/heard &
    done
  done
done
wait
[ ! -s /run/heard ]
patience=10
[ "\$(hear $outer $port)" = $word ]
[ "\$(hear $outer $port udp)" = $word ]
SCRIPT
  build -t net:7 --from "$debian" -o "$work/routes.tar" --network user \
    --mount "type=bind,src=$work/tools,dst=/mnt,ro" --run "$work/script"
else
  skip_part "$lacking" "busybox, of which the guest's script takes ip"
fi

part "what the script writes there stays"
build -t net:2 --from "$debian" -o "$work/written.tar" --network user \
  --run 'echo 10.1.1.1 mine >> /etc/hosts; echo nameserver 10.1.1.2 > /etc/resolv.conf'
top_layer "$work/written.tar" "$work/layer.tar"
dump entries "$work/layer.tar" --no-mtime | sed 's/ .*//' > "$work/entries"
same_text "$work/entries" <<'ENTRIES'
etc
etc/hosts
etc/resolv.conf
ENTRIES
[ "$(tar -xOf "$work/layer.tar" etc/hosts | tail -n 1)" = '10.1.1.1 mine' ] || fail "other hosts"
[ "$(tar -xOf "$work/layer.tar" etc/resolv.conf)" = 'nameserver 10.1.1.2' ] || fail "another resolv.conf"

# The machine's own source of Debian 12, where it has one that answers.
source=$({ cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2> /dev/null || true; } |
  sed -nE 's#^(deb |URIs: )(https?://[^ ]+/debian)/?( .*)?$#\2#p' | head -n 1)
host=$(sed -E 's#^[a-z]+://([^/:]+).*#\1#' <<< "$source")

part "names are resolved as on this machine"
if ! without names && [ -n "$host" ] && expected=$(getent ahostsv4 "$host" | sed 's/ .*//' | sort -u) &&
  [ -n "$expected" ]; then
  build -t net:3 --from "$debian" -o "$work/names.tar" --network user \
    --run "getent ahostsv4 $host | sed 's/ .*//' | sort -u"
  grep -qxF "$(head -n 1 <<< "$expected")" "$work/build.log" || fail "$host is no $expected there"
else
  skip_part names "this machine resolves no name of a package source"
fi

part "apt-get install of a package"
if without direct-packages || [ -z "$source" ] || ! timeout 60 python3 -c 'import sys, urllib.request
urllib.request.urlopen(sys.argv[1] + "/dists/bookworm/Release", timeout=50).read(1)' \
  "$source" 2> /dev/null; then
  skip_part direct-packages "no package source of Debian 12 answers"
else
  cat > "$work/apt.sh" <<SCRIPT
rm -f /etc/apt/sources.list.d/*
echo 'deb $source bookworm main' > /etc/apt/sources.list
apt-get -q update
apt-get -q install -y --no-install-recommends tree < /dev/null
tree --version
SCRIPT
  build -t net:4 --from "$debian" -o "$work/apt.tar" --network user --timeout 10m \
    --mount type=cache,id=apt,dst=/var/cache/apt --mount type=tmpfs,dst=/var/lib/apt/lists \
    --run "$work/apt.sh"
  grep -q '^tree v' "$work/build.log" || fail "tree does not run"
  top_layer "$work/apt.tar" "$work/layer.tar"
  dump entries "$work/layer.tar" --no-mtime | sed 's/ .*//' > "$work/entries"
  grep -qx usr/bin/tree "$work/entries" || fail "the layer has no /usr/bin/tree"
  ! grep -E '^(var/cache/apt|var/lib/apt/lists)/|^etc/(resolv.conf|hosts)$' "$work/entries" ||
    fail "the layer has what was mounted"
fi

part "no passt is left, however the run ends"
expect_fail 124 'timeout: ' -t net:5 --from "$debian" --network user --timeout 15 \
  --run 'sleep 1000' -o "$out/x.tar"

part "without passt, and with one that does not work"
mkdir "$work/bin"
printf '#!/bin/sh\necho cannot do it >&2\nexit 1\n' > "$work/bin/passt"
chmod 755 "$work/bin/passt"
PATH=$work/bin:$PATH expect_fail 125 'qemu: passt, .* ended: cannot do it' -t net:6 \
  --from "$debian" --network user --run true -o "$out/x.tar"
finish_parts
