#!/bin/sh
# What the compose file's node needs, on a development chain: money, an oracle, a listed model, a key, a configuration.
# Written into the current folder, once.
set -eu
[ -e node.toml ] && exit 0
rpc() { python3 -c '
import json, sys, urllib.request
body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": sys.argv[2], "params": sys.argv[3:]}).encode()
request = urllib.request.Request(sys.argv[1], body, {"Content-Type": "application/json"})
print(json.load(urllib.request.urlopen(request)))' "$ORACLE_RPC" "$@"; }
until rpc eth_chainId; do sleep 1; done
key=0000000000000000000000000000000000000000000000000000000000000003
for account in 0x7E5F4552091A69125d5DfCb7b8C2659029395Bdf 0x6813Eb9362372EEF6200f3b1dbC3f819671cBA69; do
    rpc anvil_setBalance "$account" 0x21e19e0c9bab2400000
done
oracle-node chain deploy --dev-account 0 --dev-limits --json > oracle.json
ORACLE_ADDRESS=$(python3 -c 'import json; print(json.load(open("oracle.json"))["oracle"])')
export ORACLE_ADDRESS
digits=$(python3 -c 'from oracle_node.shipped import shipped; print(shipped().source)')
oracle-node model import "$digits" --out digits --image-max 16 --no-measure
oracle-node model register digits --dev-account 0 --min-fee 0.01
echo compose > password
echo 0x$key | oracle-node key import key.json --password-file password
cat > node.toml.new <<END
models = ["digits"]
[chain]
rpc = "$ORACLE_RPC"
chain_id = 31337
oracle = "$ORACLE_ADDRESS"
[key]
keystore = "key.json"
password_file = "password"
[api]
host = "0.0.0.0"
token = "compose"
END
mv node.toml.new node.toml
