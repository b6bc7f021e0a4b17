#!/usr/bin/env bash
# Makes the containers of service and replica anew with the settings of now, one after the other, while the others
# serve: SENTIMENT_MODEL_VERSION=1 deploy/roll.sh
# COMPOSE_FILE names the files, where they are not docker-compose.yml alone.
set -euo pipefail
cd "$(dirname "$0")/.."

compose() { docker compose --profile scale "$@"; }
balancer() { compose exec -T balancer /etc/haproxy/balancer "$@"; }
health_of() { docker inspect --format '{{.State.Health.Status}} {{.Id}}' "$@"; }
address_of() { docker inspect --format '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' "$1"; }
# The balancer's word, because it is the balancer that sends the calls.
wait_for() {
  local end=$((SECONDS + 120))
  until [ "$(balancer up)" -ge "$1" ]; do
    if ((SECONDS >= end)); then
      echo "the balancer finds fewer than $1 replicas that serve; to go back, roll with the settings of before" >&2
      exit 1
    fi
    sleep .25
  done
}

containers=$(compose ps --quiet service replica)
count=$(wc -l <<< "$containers")
[ "$count" -ge 2 ] || { echo "there is one replica: bring up --profile scale first" >&2; exit 1; }
REPLICAS=$(compose ps --all --quiet replica | wc -l)
export REPLICAS # or the containers made anew would be as many as the default says

# What is drained stays so for the balancer, whoever comes to that address, until it is told otherwise.
trap 'balancer ready >/dev/null' EXIT
balancer ready >/dev/null

# Those that do not serve come first (unhealthy, starting, healthy): what a failed rollout left, another one mends.
# shellcheck disable=SC2086 # an argument for each container
for container in $(health_of $containers | sort --reverse | cut --delimiter ' ' --fields 2); do
  if [[ $(health_of "$container") == healthy* ]]; then
    wait_for "$count"
    balancer drain "$(address_of "$container")" >/dev/null
  fi
  docker stop "$container" >/dev/null # a stream that is still open is told to go elsewhere
  docker rm "$container" >/dev/null
  compose up --detach --no-deps --no-recreate --no-build service replica
  balancer ready >/dev/null
done
wait_for "$count"
