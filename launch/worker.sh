#!/usr/bin/env bash
# worker.sh start FLAGS... | stop | status: the run on one TPU VM. The scripts
# of launch/ call it over ssh; each verb ends with one line about this VM:
#
#   prod_jax HOST none | running | stopped | lost | EXIT_CODE
#
# "lost" is a run that left no exit code: the VM went down with it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.." # holds code/ venv/ run.log

# A session of its own (setsid) has no terminal to lose when ssh ends, and needs
# nothing installed. The processes of a run share an open lock file: it is free
# when the last of them is gone, also after kill -9 or a reboot, where a pid
# would lie.
is_running() { [[ -e lock ]] && ! flock --nonblock lock true; }

status() {
  local state=none
  if is_running; then
    state=running
  elif [[ -e state ]]; then
    state=$(<state)
  fi
  echo "prod_jax $(hostname) $state"
}

start() {
  exec 9>lock
  if ! flock --nonblock 9; then
    echo "$(hostname): a run is going on here; stop it first" >&2
    exit 1
  fi
  echo lost >state
  setsid bash code/launch/worker.sh supervise "$@" \
    </dev/null >>run.log 2>&1 &
  echo "prod_jax $(hostname) running"
}

supervise() {
  echo $$ >pid
  trap : TERM # outlive the program, which saves a checkpoint on TERM
  # JAX believes them before it asks the VM, and they may be of a slice that is
  # gone: a run would wait for it.
  unset "${!MEGASCALE_@}"
  echo "== $(date -u +%FT%TZ) prod_jax.main $*"
  local code=0
  (cd code && exec ../venv/bin/python -m prod_jax.main "$@") || code=$?
  echo "== $(date -u +%FT%TZ) exit $code"
  echo "$code" >state
}

stop() {
  local patience=${1:-120} # seconds for the checkpoint
  if is_running; then
    kill -TERM -- "-$(<pid)"
    if ! flock --wait "$patience" lock true; then
      kill -KILL -- "-$(<pid)"
      flock --wait 10 lock true
    fi
  fi
  if [[ -e state ]]; then
    echo stopped >state
  fi
  status
}

case ${1:-} in
  start | supervise | stop | status) "$@" ;;
  *) echo "worker.sh has no verb ${1:-}" >&2 && exit 2 ;;
esac
