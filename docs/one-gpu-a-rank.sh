#!/bin/sh
# Runs a command that can open one GPU of this host and no other: the one whose place among the GPUs is the rank's
# place on the host. For hosts with several GPUs of one name, which WebGPU cannot tell apart (distributed.md).
#
#   mpirun -n 2 one-gpu-a-rank.sh attnc run … --distributed
#
# It makes a mount namespace of its own, in which the device nodes of the other GPUs are mounted so that they can't be
# opened; drivers leave out what they can't open. For that it must be root, or unprivileged user namespaces be allowed.
# GPUs are NVIDIA's nodes, or else those of /dev/dri; ATTNC_GPU_NODES="/dev/… /dev/…" names them, in order.
set -eu

fail() {
  echo "one-gpu-a-rank: $*" >&2
  exit 1
}

opens() { (: <"$1") 2>/dev/null; }

# In the namespace: --hide NODE… -- COMMAND…
if [ "${1-}" = --hide ]; then
  shift
  while [ "$1" != -- ]; do
    # Not hidden behind another file: a driver could take that for a node to be made anew.
    mount --bind "$1" "$1"
    mount -o remount,bind,nodev "$1"
    if opens "$1"; then fail "cannot hide $1"; fi
    shift
  done
  shift
  # Who was made root for this becomes who it was: Open MPI asks whose process it is.
  [ -z "${user-}" ] || exec unshare --user --map-user="${user%:*}" --map-group="${user#*:}" "$@"
  exec "$@"
fi

[ $# -gt 0 ] || fail 'usage: mpirun -n N one-gpu-a-rank.sh COMMAND…'
place=${OMPI_COMM_WORLD_LOCAL_RANK:-}
[ -n "$place" ] || fail 'was not started by mpirun'

nodes_in() { find "$1" -maxdepth 1 -name "$2[0-9]*" 2>/dev/null | sort -V; }
nodes=${ATTNC_GPU_NODES:-$(nodes_in /dev nvidia)}
nodes=${nodes:-$(nodes_in /dev/dri renderD)}

count=0 hidden=''
for node in $nodes; do
  opens "$node" || continue
  [ "$count" -eq "$place" ] || hidden="$hidden $node"
  count=$((count + 1))
done
[ "$count" -eq 0 ] || [ "$place" -lt "$count" ] ||
  fail "rank ${OMPI_COMM_WORLD_RANK:-?} is number $place on a host with $count GPUs"
[ -n "$hidden" ] || exec "$@"

if unshare --mount true 2>/dev/null; then
  exec unshare --mount sh "$0" --hide $hidden -- "$@"
fi
unshare --mount --map-root-user true 2>/dev/null ||
  fail 'needs mount namespaces: run as root (in a container, with CAP_SYS_ADMIN), or allow user namespaces'
# Ranks in unlike user namespaces may not read each other's memory; Open MPI then copies through shared memory.
export OMPI_MCA_btl_vader_single_copy_mechanism=none
user=$(id -u):$(id -g) exec unshare --mount --map-root-user sh "$0" --hide $hidden -- "$@"
