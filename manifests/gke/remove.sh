#!/usr/bin/env bash
# Removes what create.sh made and marked, the cluster first, which costs most. Runs and reports stay, unless --with-data is
# given: then the buckets go with all that is in them. A call that was interrupted, or refused, is run again.
set -euo pipefail
EXTRA_USAGE='[--with-data] '
DRY_ANSWER=0
not_ours() { echo "kept: $1" >&2; return 1; }
# shellcheck source=manifests/gke/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
parse "$@"

cluster() {
  settle
  if our_cluster; then g container clusters delete "$NAME" --region "$REGION"; fi
}

# the router's NAT goes with it
network() {
  if our_router; then g compute routers delete "$NAME" --region "$REGION"; fi
}

registry() { # NAME
  if our_registry "$1"; then g artifacts repositories delete "$1" --location "$REGION"; fi
}

node_account() {
  our_account || return 0
  drop g projects remove-iam-policy-binding "$PROJECT" --condition None --format none \
    --role roles/container.defaultNodeServiceAccount --member "serviceAccount:$(account)"
  g iam service-accounts delete "$(account)"
}

# take away what may be gone already
drop() {
  "$@" 2>"$TEMP/said" || grep -qE "$ABSENT" "$TEMP/said" || { cat "$TEMP/said" >&2; exit 1; }
}

data() {
  local bucket
  for bucket in "$TEMPORARY" "$ARTIFACTS" "$DATA"; do
    if our_bucket "$bucket"; then g storage rm --recursive "$bucket"; fi
  done
}

# buckets that stay are not left open to the next cluster of the project, whose service accounts have the same names
revoke() { # BUCKET MEMBER ROLE
  if our_bucket "$1"; then drop g storage buckets remove-iam-policy-binding "$1" --member "$2" --role "$3"; fi
}

same_region
cluster
network
registry "$NAME"
registry "$NAME-mirror"
node_account
if [[ -n $WITH_DATA ]]; then
  data
else
  grants revoke
  echo "kept: $DATA, $ARTIFACTS and $TEMPORARY"
fi
