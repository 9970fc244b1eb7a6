#!/usr/bin/env bash
# Everything that must hold before a change lands: formatting, lints, all tests, the arrows of the architecture.
# Needs git, a C compiler, Redis, a PostgreSQL server's binaries and Rust; installs all but Rust from Debian's packages where it
# can. Ends with the count.
set -euo pipefail
cd "$(dirname "$0")"

if ! command -v cc >/dev/null 2>&1; then
  if command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" = 0 ]; then
    apt-get update -qq && apt-get install -y -qq gcc libc6-dev
  else
    echo "test.sh: no C compiler (cc): install gcc and libc6-dev" >&2
    exit 2
  fi
fi
# The tests start a server of their own from these, in a temporary directory on a free port, and end it; one that is
# given in PATCHBAY_TEST_POSTGRES (postgres://…, whose user may make databases) is used instead.
if [ -z "${PATCHBAY_TEST_POSTGRES:-}" ] && ! command -v initdb >/dev/null 2>&1 && ! ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1; then
  if command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" = 0 ]; then
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends postgresql
  else
    echo "test.sh: no PostgreSQL server: install postgresql, or set PATCHBAY_TEST_POSTGRES" >&2
    exit 2
  fi
fi
# The tests of the context start servers of their own.
if ! command -v redis-server >/dev/null 2>&1; then
  if command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" = 0 ]; then
    apt-get update -qq && apt-get install -y -qq redis-server
  else
    echo "test.sh: no redis-server: install it (Debian: apt-get install redis-server)" >&2
    exit 2
  fi
fi
for tool in cargo rustfmt cargo-clippy; do
  command -v "$tool" >/dev/null 2>&1 || { echo "test.sh: no $tool: install Rust with rustfmt and clippy" >&2; exit 2; }
done

# A debugger's view into tests that abort on purpose is not wanted: no core files.
ulimit -c 0

step() { printf '\n== %s\n' "$*"; }

step formatting
cargo fmt --all -- --check

step lints
cargo clippy --workspace --all-targets --locked -- -D warnings

step documentation
# With what is private: docs/ARCHITECTURE.md sends its readers there.
RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items --locked --quiet

step tests
log=$(mktemp)
trap 'rm -f "$log"' EXIT
status=0
# The end-to-end tests each start a service and sandboxes: a few at a time, whatever the number of cores.
RUST_TEST_THREADS="${RUST_TEST_THREADS:-4}" cargo test --workspace --locked --no-fail-fast 2>&1 | tee "$log" || status=$?

read -r passed failed ignored < <(awk '
  /^test result:/ { for (i = 1; i < NF; i++) { if ($(i+1) ~ /^passed/) p += $i; if ($(i+1) ~ /^failed/) f += $i; if ($(i+1) ~ /^ignored/) g += $i } }
  END { print p + 0, f + 0, g + 0 }' "$log")
if [ "$status" -ne 0 ] && [ "$failed" -eq 0 ]; then failed=1; fi
echo
echo "$passed passed, $failed failed, $ignored skipped"
exit "$status"
