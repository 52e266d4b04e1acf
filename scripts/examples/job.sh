#!/usr/bin/env bash
# A job with curl: a price, a submission that can be repeated, a wait for its end.
#
#   METERLINE_URL=http://127.0.0.1:8080 METERLINE_API_KEY=mlk_... scripts/examples/job.sh acme "a red fox"
set -euo pipefail
account=$1 prompt=$2

api() { # path, further arguments of curl...
  path=$1
  shift
  curl -sS --fail-with-body --retry 5 "$METERLINE_URL$path" -H "Authorization: Bearer $METERLINE_API_KEY" \
    -H 'Content-Type: application/json' "$@"
}
member() { sed -n "s/.*\"$1\":\"\{0,1\}\([^,\"}]*\).*/\1/p"; }

# Nothing is held yet; the price stands for some minutes.
asked="{\"account\":\"$account\",\"tool\":\"text-to-image\",\"params\":{\"prompt\":\"$prompt\"}}"
quote=$(api /v1/quotes -d "$asked")
echo "at most $(member ceiling_ucr <<<"$quote") micro-credits" >&2

# The key makes it one job, however often curl sends it.
key=example-$(date +%s)-$$
job=$(api /v1/jobs -H "Idempotency-Key: $key" \
  -d "{\"account\":\"$account\",\"quote\":\"$(member quote <<<"$quote")\"}" | member job)

# The server answers when the job has ended, or when its time is up: then one asks again.
while :; do
  state=$(api "/v1/jobs/$job?wait=30" | sed -n 's/.*"state":"\([a-z_]*\)".*/\1/p')
  case $state in succeeded | failed | timed_out | cancelled) break ;; esac
done
echo "$job $state"
[ "$state" = succeeded ]
