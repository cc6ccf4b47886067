# Sourced by the scripts beside it: Debian packages from the mirror that this machine's apt is set up for, into a
# folder, without installing anything or touching the system's apt. Needs no root.
#
#   . .ci/debian-packages.sh
#   debian_ready NAME               says why not, as `NAME: …`, where this isn't a Debian with a mirror
#   debian_apt WORK 'SUITE…' ARGS   apt-get with lists, archives and sources in WORK (made on first use)
#   debian_unpack WORK              all of WORK/archives into WORK/tree

# The configured mirror of this Debian's own packages, from either form of apt's sources.
debian_mirror() {
  local found
  found=$(cat /etc/apt/sources.list.d/*.sources 2>/dev/null |
    awk 'BEGIN { RS = "" } /Suites:[^\n]*'"$VERSION_CODENAME"'( |\n|$)/ { for (i = 1; i < NF; i++) if ($i == "URIs:") { print $(i + 1); exit } }')
  [[ -n $found ]] || found=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null |
    awk -v suite="$VERSION_CODENAME" '$1 == "deb" { for (i = 2; i < NF; i++) if ($(i + 1) == suite) { print $i; exit } }')
  printf '%s' "$found"
}

debian_ready() {
  [[ -r /etc/os-release ]] && . /etc/os-release
  if [[ ${ID:-} != debian ]]; then
    echo "$1: this script is for Debian" >&2
    return 1
  fi
  mirror=$(debian_mirror)
  if [[ -z $mirror ]]; then
    echo "$1: found no Debian mirror in /etc/apt" >&2
    return 1
  fi
}

debian_apt() {
  local work=$1 suites=$2 suite signed='' key=/usr/share/keyrings/debian-archive-keyring.gpg
  shift 2
  mkdir -p "$work"/{lists/partial,archives/partial}
  [[ -r $key ]] && signed="[signed-by=$key] "
  for suite in $suites; do echo "deb ${signed}$mirror $suite main"; done >"$work/sources.list"
  apt-get -qq -o Dir::Etc::SourceList="$work/sources.list" -o Dir::Etc::SourceParts=/dev/null \
    -o Dir::State::Lists="$work/lists" -o Dir::Cache::archives="$work/archives" \
    -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= -o Debug::NoLocking=1 -o APT::Sandbox::User= \
    -o Acquire::Retries=3 "$@" >&2
}

debian_unpack() {
  local package
  for package in "$1"/archives/*.deb; do dpkg-deb -x "$package" "$1/tree"; done
}
