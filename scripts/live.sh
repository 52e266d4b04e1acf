# Shared by scripts that try the HTTP API: a private store, a simulated provider, and one serving process.
# Sourced, not run, after lib.sh. `start_house [OPTION...]` starts them with options for `serve` and sets
# METERLINE_URL, METERLINE_API_KEY and METERLINE_REDIS_URL; everything ends with the script.

work=$(mktemp -d)
started=()
# shellcheck disable=SC2317 # called by the trap
clean_up() {
  for pid in ${started[@]+"${started[@]}"}; do kill "$pid" 2>/dev/null || true; done
  wait 2>/dev/null || true
  rm -rf "$work"
}
trap clean_up EXIT

# The program: METERLINE names it where it is built already.
need_meterline() {
  if [ -z "${METERLINE:-}" ]; then
    need_cargo
    cargo build --quiet --bin meterline
    METERLINE=target/debug/meterline
  fi
}

wait_for() { # what, command...
  what=$1
  shift
  for _ in $(seq 1 200); do
    if "$@" >/dev/null 2>&1; then return 0; fi
    sleep 0.1
  done
  say "$what does not come"
  tail -n 20 "$work"/*.log >&2 || true
  exit 1
}

field() { python3 -c 'import json,sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"; }

start_house() { # options for serve...
  server=$(command -v redis-server || command -v valkey-server)
  "$server" --port 0 --unixsocket "$work/redis.sock" --dir "$work" --save '' --appendonly no \
    --maxmemory-policy noeviction >"$work/redis.log" 2>&1 &
  started+=($!)
  wait_for 'the store' test -S "$work/redis.sock"
  export METERLINE_REDIS_URL="redis+unix://$work/redis.sock" METERLINE_CONFIG=config/dev

  "$METERLINE" simulate-provider --listen 127.0.0.1:0 >"$work/simulator" 2>"$work/simulator.log" &
  started+=($!)
  wait_for 'the simulated provider' grep -q '^listening ' "$work/simulator"
  simulator=$(sed -n 's/^listening //p' "$work/simulator")

  METERLINE_API_KEY=$("$METERLINE" key create --name scripts --scope admin --output json | field secret)
  port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
  METERLINE_URL=http://127.0.0.1:$port
  "$METERLINE" serve --listen "127.0.0.1:$port" --artifacts "$work/artifacts" \
    --provider-url "sim=$simulator" "$@" >"$work/serve.log" 2>&1 &
  started+=($!)
  wait_for 'the server' curl -sf "$METERLINE_URL/readyz"
  export METERLINE_URL METERLINE_API_KEY
}
