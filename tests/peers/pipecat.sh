#!/usr/bin/env bash
# Holds the bridge against a bot that is not ours: pipecat's, with its own serializers, behind the backends `exotel` and
# `twilio`. The kit plays Exotel's side; rules that pipecat itself does not keep are named below. Not a part of test.sh:
# pipecat and what it needs are half a gigabyte, from PyPI.
#
#   tests/peers/pipecat.sh              builds Patchbay and makes a Python environment in a temporary directory
#   PIPECAT_VENV=dir tests/peers/pipecat.sh      uses (or makes) that environment
set -euo pipefail
cd "$(dirname "$0")/../.."

work=$(mktemp -d)
pids=()
trap 'kill "${pids[@]}" 2>/dev/null || true; rm -rf "$work"' EXIT

venv=${PIPECAT_VENV:-$work/venv}
if [ ! -x "$venv/bin/python" ]; then
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet 'pipecat-ai[websocket]==1.14.0' uvicorn
fi
if [ -z "${PATCHBAY:-}" ]; then
  cargo build --release --locked
  PATCHBAY=$PWD/target/release/patchbay
fi

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
answers() { for _ in $(seq 300); do (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null && return; sleep 0.1; done; return 1; }

bot=$(free_port)
"$venv/bin/python" tests/peers/pipecat_bot.py "$bot" 2>"$work/bot.log" &
pids+=($!)
bridge=$(free_port)
cat > "$work/patchbay.toml" <<TOML
[server]
listen = "127.0.0.1:$bridge"
public_url = "http://127.0.0.1:$bridge"
[store]
url = "sqlite:$work/patchbay.db"
[[account]]
sid = "peer1"
api_key = "key"
api_token = "token"
api_url = "http://127.0.0.1:9"
[[account.bot]]
id = "through"
token = "token-of-the-bot-exotel"
backend = "exotel"
url = "ws://127.0.0.1:$bot/exotel"
[[account.bot]]
id = "as-twilio"
token = "token-of-the-bot-twilio"
backend = "twilio"
url = "ws://127.0.0.1:$bot/twilio"
TOML
"$PATCHBAY" serve --config "$work/patchbay.toml" >"$work/patchbay.log" 2>&1 &
pids+=($!)
answers "$bot" && answers "$bridge" || { cat "$work"/*.log; exit 1; }

status=0
# What this bot is at fault for by itself: it takes 8000 Hz for granted (its serializer is told the rate, start is not read),
# and sends no marks.
judged() {
  "$PATCHBAY" simulate voicebot --to "ws://127.0.0.1:$bridge/voicebot/$1" --at-once 2 --json > "$work/$1.json" || true
  python3 - "$work/$1.json" "${@:2}" <<'PY' || status=1
import json, sys

report, expected = json.load(open(sys.argv[1])), set(sys.argv[2:])
verdicts = {rule["rule"]: rule["verdict"] for rule in report["rules"]}
print(" ".join(f"{rule}={verdict}" for rule, verdict in verdicts.items()))
failed = {rule for rule, verdict in verdicts.items() if verdict == "fail"}
wrong = sorted(failed ^ expected) + [rule for rule in ("frames", "barge_in", "dtmf", "stop") if verdicts[rule] not in ("pass",)]
if wrong:
    sys.exit(f"not as expected: {', '.join(wrong)}")
PY
}
echo "behind exotel:"
judged token-of-the-bot-exotel rate
echo "behind twilio:"
judged token-of-the-bot-twilio
[ "$status" = 0 ] || { tail -20 "$work/bot.log" "$work/patchbay.log"; exit 1; }
echo "pipecat is answered as it expects, and heard as Exotel expects."
