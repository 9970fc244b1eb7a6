#!/usr/bin/env bash
# Fuzzes what the voicebot bridge reads: each target for so many seconds (60), from the frames that were seen or documented.
#
#   voice/fuzz/run.sh [SECONDS [TARGET…]]
#
# Needs cargo-fuzz (cargo install cargo-fuzz --locked) and a C++ compiler. The coverage it is guided by is a feature that
# Rust keeps for nightly; RUSTC_BOOTSTRAP lets the toolchain that builds Patchbay do it.
set -euo pipefail
cd "$(dirname "$0")/.."
export RUSTC_BOOTSTRAP=1
seconds=${1:-60}
shift || true
targets=("$@")
[ ${#targets[@]} -gt 0 ] || mapfile -t targets < <(RUSTC_BOOTSTRAP=1 cargo fuzz list)
for target in "${targets[@]}"; do
  seeds=fuzz/corpus/$target
  mkdir -p "$seeds"
  python3 - "$target" "$seeds" <<'PY'
import glob, json, pathlib, sys

target, seeds = sys.argv[1], pathlib.Path(sys.argv[2])
files = {"frames": ["tests/fixtures/frames.jsonl"], "backends": sorted(glob.glob("tests/fixtures/backends/*.jsonl"))}
for at, name in enumerate(files.get(target, [])):
    lines = [json.loads(line) for line in open(name) if line.strip()]
    if target == "frames":
        texts = [line["frame"] for line in lines]
        for number, text in enumerate(texts):
            (seeds / f"seed-{number}").write_text(text)
        (seeds / "seed-all").write_text("\n".join(text.replace("\n", " ") for text in texts))
    else:
        (seeds / f"seed-{at}").write_text(open(name).read())
PY
  cargo fuzz run --sanitizer none "$target" "$seeds" -- -max_total_time="$seconds" -rss_limit_mb=1024 -max_len=20000 -print_final_stats=1
done
