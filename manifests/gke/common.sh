# shellcheck shell=bash
# What create.sh and remove.sh share: arguments, names, what is there, and commands that are shown before they run.
set -euo pipefail

usage() {
  cat >&2 <<TEXT
usage: $0 [--dry-run] ${EXTRA_USAGE:-}PROJECT REGION [NAME]
  PROJECT  id of the Google Cloud project; billing must be on
  REGION   e.g. europe-west4; buckets and cluster lie there together
  NAME     of everything that is made (default clio-argo; at most 20 characters)
Environment: NAMESPACE (clio-argo), MACHINE (e2-standard-4), SPOT_MACHINE (n2d-standard-4), SPOT_MAX (25),
  NETWORK and SUBNET (default), NAT (make; none: the network has its own), those of manifests/argo.sh
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
  [[ $NAME =~ ^[a-z][a-z0-9-]{0,18}[a-z0-9]$ ]] || wrong "NAME $NAME: a letter, then letters, digits and '-', at most 20"
  [[ $PROJECT =~ ^[a-z][a-z0-9-]{4,28}[a-z0-9]$ ]] || wrong "PROJECT $PROJECT: give its id, not its name or number"
  NAMESPACE=${NAMESPACE:-clio-argo} MACHINE=${MACHINE:-e2-standard-4}
  SPOT_MACHINE=${SPOT_MACHINE:-n2d-standard-4} SPOT_MAX=${SPOT_MAX:-25}
  NETWORK=${NETWORK:-default} SUBNET=${SUBNET:-default} NAT=${NAT:-make}
  DATA=gs://$PROJECT-$NAME ARTIFACTS=gs://$PROJECT-$NAME-artifacts TEMPORARY=gs://$PROJECT-$NAME-tmp
  MIRROR=$REGION-docker.pkg.dev/$PROJECT/$NAME-mirror
  # shellcheck disable=SC2034 # create.sh and remove.sh read them
  readonly DRY WITH_DATA PROJECT REGION NAME NAMESPACE MACHINE SPOT_MACHINE SPOT_MAX NETWORK SUBNET NAT DATA ARTIFACTS TEMPORARY MIRROR
  tools
  TEMP=$(mktemp -d)
  trap 'rm -rf "$TEMP"' EXIT
  trap 'exit 130' INT TERM HUP
}

wrong() { echo "$*" >&2; exit 2; }
stop() { echo "$*" >&2; exit 1; }

# before anything is made: the plugin is otherwise missed only once the cluster is there
tools() {
  local tool missing=''
  for tool in gcloud kubectl gke-gcloud-auth-plugin git; do
    [[ -n $DRY ]] || command -v $tool >/dev/null || missing+=" $tool"
  done
  [[ -z $missing ]] || wrong "not installed:$missing (gcloud components install kubectl gke-gcloud-auth-plugin)"
}

# show a command, and run it unless this is a dry run
run() {
  printf '+'; printf ' %q' "$@"; printf '\n'
  [[ -n $DRY ]] || "$@"
}
g() { run gcloud "$@" --project "$PROJECT" --quiet; }

# what create.sh made, so that remove.sh deletes nothing else of the same name; routers have no labels
# shellcheck disable=SC2034
readonly LABEL=made-by=clio-argo

# how each service says that something is not there; all else (login, network, quota, API) says nothing about it
readonly ABSENT='code=404|HTTPError 404|NOT_FOUND|not found: 404|was not found|condition not found|NAT .* not found|\(NotFound\)'

# whether something is there: a command that shows it; what it prints is in FOUND. In a dry run nothing is looked at
there() {
  FOUND=''
  [[ -z $DRY ]] || return 1
  if FOUND=$("$@" 2>"$TEMP/said"); then return; fi
  grep -qE "$ABSENT" "$TEMP/said" && return 1
  cat "$TEMP/said" >&2
  stop "this look has failed, so nothing more was done; run the same command again: $*"
}

look() { # FIELD gcloud ... describe ...
  there "${@:2}" --project "$PROJECT" --format "value($1)"
}

# whether it is there and ours: FIELD VALUE gcloud ... describe ...; what is somebody else's goes to not_ours
ours() {
  local field=$1 mark=$2
  shift 2
  if [[ -n $DRY ]]; then return "$DRY_ANSWER"; fi
  look "$field" "$@" || return 1
  [[ $FOUND == "$mark" ]] || not_ours "${*:2}: $field is '$FOUND', not '$mark', so create.sh did not make it"
}

readonly MARK=${LABEL#*=}
our_account() { ours displayName "clio-argo nodes" gcloud iam service-accounts describe "$(account)"; }
our_bucket() { ours labels.made-by "$MARK" gcloud storage buckets describe "$1"; }
our_registry() { ours labels.made-by "$MARK" gcloud artifacts repositories describe "$1" --location "$REGION"; }
our_router() { ours description "$LABEL" gcloud compute routers describe "$NAME" --region "$REGION"; }
our_cluster() { ours resourceLabels.made-by "$MARK" gcloud container clusters describe "$NAME" --region "$REGION"; }

# all lies in one region: with another one, half of it would be made a second time, or be missed
same_region() {
  [[ -z $DRY ]] || return 0
  local place
  if look location gcloud storage buckets describe "$DATA"; then in_region "$DATA" "$FOUND"; fi
  look location gcloud container clusters list --filter "name=$NAME"
  for place in $FOUND; do in_region "cluster $NAME" "$place"; done
}

in_region() { # WHAT PLACE
  local place
  place=$(tr '[:upper:]' '[:lower:]' <<<"$2")
  [[ $place == "$REGION" ]] || stop "$1 is in $place, not in $REGION: nothing was done"
}

# wait until Google has ended what it does with the cluster, also for an earlier call that was interrupted; its state is
# in FOUND, empty if there is none
settle() {
  local tries
  for tries in {1..90}; do
    look status gcloud container clusters describe "$NAME" --region "$REGION" || return 0
    case $FOUND in
    PROVISIONING | RECONCILING | STOPPING) echo "cluster $NAME is $FOUND ($tries)" && sleep "${POLL_S:-20}" ;;
    *) return 0 ;;
    esac
  done
}

account() { echo "$NAME-nodes@$PROJECT.iam.gserviceaccount.com"; }

# who may do what: a service account of the cluster is a principal of Google Cloud without any account or key there
#   workers write runs, the notifier reads them, both keep logs, which Argo's server shows with the reports
grants() { # COMMAND, which is given BUCKET MEMBER ROLE
  local number=PROJECT_NUMBER bucket pool
  if look projectNumber gcloud projects describe "$PROJECT"; then number=$FOUND; fi
  pool=principal://iam.googleapis.com/projects/$number/locations/global/workloadIdentityPools/$PROJECT.svc.id.goog/subject
  WORKER=$pool/ns/$NAMESPACE/sa/clio-argo-worker NOTIFIER=$pool/ns/$NAMESPACE/sa/clio-argo-notifier
  for bucket in "$DATA" "$ARTIFACTS" "$TEMPORARY"; do "$1" "$bucket" "$WORKER" roles/storage.objectUser; done
  "$1" "$DATA" "$NOTIFIER" roles/storage.objectViewer
  "$1" "$ARTIFACTS" "$NOTIFIER" roles/storage.objectUser
  "$1" "$ARTIFACTS" "$pool/ns/argo/sa/argo-server" roles/storage.objectViewer
}
