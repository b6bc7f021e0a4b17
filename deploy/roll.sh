#!/usr/bin/env bash
# Makes the containers of service and replica anew with the settings of now, one after the other, while the others
# serve: SENTIMENT_MODEL_VERSION=1 deploy/roll.sh
# COMPOSE_FILE names the files, where they are not docker-compose.yml alone; REPLICAS is what it was for `up`.
set -euo pipefail
cd "$(dirname "$0")/.."

compose() { docker compose --profile scale "$@"; }
balancer() { compose exec -T balancer /etc/haproxy/balancer "$@"; }
# The balancer's word, because it is the balancer that sends the calls.
wait_for() {
  for _ in $(seq 480); do [ "$(balancer up)" -ge "$1" ] && return; sleep .25; done
  echo "the balancer finds fewer than $1 replicas that serve" >&2
  exit 1
}

containers=$(compose ps --quiet service replica)
count=$(wc -l <<< "$containers")
[ "$count" -ge 2 ] || { echo "there is one replica: bring up --profile scale first" >&2; exit 1; }

for container in $containers; do
  wait_for "$count"
  address=$(docker inspect --format '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' "$container")
  balancer drain "$address" >/dev/null
  docker stop "$container" >/dev/null # a stream that is still open is told to go elsewhere
  docker rm "$container" >/dev/null
  compose up --detach --no-deps --no-recreate --no-build service replica
  balancer ready >/dev/null
done
wait_for "$count"
