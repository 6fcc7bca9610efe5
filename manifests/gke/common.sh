# shellcheck shell=bash
# What create.sh and remove.sh share: arguments, names, and commands that are shown before they run.
set -euo pipefail

usage() {
  cat >&2 <<TEXT
usage: $0 [--dry-run] ${EXTRA_USAGE:-}PROJECT REGION [NAME]
  PROJECT  Google Cloud project; billing must be on
  REGION   e.g. europe-west4; buckets and cluster lie there together
  NAME     of everything that is made (default clio-argo; at most 20 characters)
Environment: NAMESPACE (clio-argo), SPOT_MACHINE (n2d-standard-4), SPOT_MAX (25), ARGO_VERSION (v4.0.2)
  --dry-run prints every command and runs none
TEXT
  exit 2
}

parse() {
  DRY='' WITH_DATA=''
  while [[ ${1:-} == --* ]]; do
    case $1 in
    --dry-run) DRY=1 ;;
    --with-data) [[ -n ${EXTRA_USAGE:-} ]] || usage; WITH_DATA=1 ;;
    *) usage ;;
    esac
    shift
  done
  [[ $# == 2 || $# == 3 ]] || usage
  PROJECT=$1 REGION=$2 NAME=${3:-clio-argo}
  [[ $NAME =~ ^[a-z][a-z0-9-]{0,18}[a-z0-9]$ ]] || { echo "NAME $NAME: a letter, then letters, digits and '-', at most 20" >&2; exit 2; }
  NAMESPACE=${NAMESPACE:-clio-argo} SPOT_MACHINE=${SPOT_MACHINE:-n2d-standard-4} SPOT_MAX=${SPOT_MAX:-25}
  ARGO_VERSION=${ARGO_VERSION:-v4.0.2}
  DATA=gs://$PROJECT-$NAME ARTIFACTS=gs://$PROJECT-$NAME-artifacts
  # shellcheck disable=SC2034 # create.sh and remove.sh read them
  readonly DRY WITH_DATA PROJECT REGION NAME NAMESPACE SPOT_MACHINE SPOT_MAX ARGO_VERSION DATA ARTIFACTS
}

# show a command, and run it unless this is a dry run
run() {
  printf '+'; printf ' %q' "$@"; printf '\n'
  [[ -n $DRY ]] || "$@"
}

# whether something is there already; in a dry run everything is made
exists() {
  [[ -z $DRY ]] && "$@" >/dev/null 2>&1
}

# what create.sh made, so that remove.sh deletes nothing else of the same name
# shellcheck disable=SC2034
readonly LABEL=made-by=clio-argo

# whether it is there and ours: FIELD VALUE gcloud ... describe ...
ours() {
  local field=$1 value=$2 found
  shift 2
  [[ -z $DRY ]] || return 0
  found=$("$@" --format "value($field)" 2>/dev/null) || return 1
  [[ $found == "$value" ]] || { echo "kept: ${*:4}: $field is '$found', not '$value', so create.sh did not make it" >&2; return 1; }
}

account() { echo "$NAME-$1@$PROJECT.iam.gserviceaccount.com"; }
g() { run gcloud "$@" --project "$PROJECT" --quiet; }
