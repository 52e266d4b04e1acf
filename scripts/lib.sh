# Shared by the scripts of this folder: `need PROGRAM PACKAGE` finds a program or installs it.
# Sourced, not run.

say() { printf '%s\n' "$*" >&2; }

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"
  elif command -v sudo >/dev/null 2>&1; then sudo "$@"
  else return 1
  fi
}

install_package() { # package (apt), package (dnf), package (brew)
  if command -v apt-get >/dev/null 2>&1; then
    as_root env DEBIAN_FRONTEND=noninteractive sh -c \
      "apt-get install -y -qq --no-install-recommends $1 || { apt-get update -qq && apt-get install -y -qq --no-install-recommends $1; }" \
      >&2
  elif command -v dnf >/dev/null 2>&1; then as_root dnf install -y -q "$2" >&2
  elif command -v brew >/dev/null 2>&1; then brew install -q "$3" >&2
  else return 1
  fi
}

# The first program of a list that is there; otherwise its package is installed.
need() { # program[|program...], what for, apt, dnf, brew
  for program in $(printf '%s' "$1" | tr '|' ' '); do
    if command -v "$program" >/dev/null 2>&1; then return 0; fi
  done
  say "$1 is missing ($2): installing it"
  if install_package "$3" "$4" "$5" && need_found "$1"; then return 0; fi
  say "could not install it; please do it by hand:"
  say "  apt-get install $3   |   dnf install $4   |   brew install $5"
  exit 1
}

need_found() {
  for program in $(printf '%s' "$1" | tr '|' ' '); do
    if command -v "$program" >/dev/null 2>&1; then return 0; fi
  done
  return 1
}

need_redis() { need 'redis-server|valkey-server' 'the store' redis-server redis redis; }

# Debian keeps the server's programs out of the PATH.
need_postgres() {
  for program in /usr/lib/postgresql/*/bin/initdb; do
    if [ -x "$program" ]; then return 0; fi
  done
  if command -v initdb >/dev/null 2>&1; then return 0; fi
  say 'postgresql is missing (history): installing it'
  if install_package postgresql postgresql-server postgresql; then return 0; fi
  say 'could not install it; please do it by hand:'
  say '  apt-get install postgresql   |   dnf install postgresql-server   |   brew install postgresql'
  exit 1
}

need_cargo() {
  if ! command -v cargo >/dev/null 2>&1 && [ -f "$HOME/.cargo/env" ]; then . "$HOME/.cargo/env"; fi
  if command -v cargo >/dev/null 2>&1; then return 0; fi
  say 'cargo is missing: install the Rust toolchain from https://rustup.rs'
  exit 1
}

# A server that can wait for its disk (WAITAOF: Redis 7.2, Valkey), for the tests of it: the system's if
# it is new enough, else Valkey from Debian's backports, unpacked into a cache, not installed.
need_waitaof() {
  for program in redis-server valkey-server; do
    case $("$program" --version 2>/dev/null | sed -n 's/.* v=\([0-9]*\.[0-9]*\).*/\1/p') in
      '' | [0-6].* | 7.[01]) ;;
      *) return 0 ;;
    esac
  done
  cache=${XDG_CACHE_HOME:-$HOME/.cache}/meterline-test/valkey
  if [ ! -x "$cache/usr/bin/valkey-server" ]; then
    say 'no server here knows WAITAOF (Redis 7.2 or Valkey): fetching Valkey for the tests'
    if command -v apt-get >/dev/null 2>&1; then fetch_backport "$cache" valkey-server valkey-tools
    else need valkey-server 'tests of waiting for the disk' valkey-server valkey valkey; return 0
    fi
  fi
  PATH=$PATH:$cache/usr/bin
  export PATH
}

fetch_backport() { # folder, package...
  into=$1; shift
  work=$(mktemp -d)
  release=$(. /etc/os-release && printf '%s' "${VERSION_CODENAME:-bookworm}")
  mirror=$(sed -n 's/^URIs: *\([^ ]*\).*/\1/p; s/^deb \([^[][^ ]*\) .*/\1/p' /etc/apt/sources.list.d/* /etc/apt/sources.list 2>/dev/null | head -n 1 || true)
  keys=/usr/share/keyrings/debian-archive-keyring.gpg
  echo "deb [signed-by=$keys] ${mirror:-http://deb.debian.org/debian} $release-backports main" >"$work/list"
  mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$into"
  apt="apt-get -qq -o Dir::Etc::sourcelist=$work/list -o Dir::Etc::sourceparts=- -o Dir::State::lists=$work/lists -o Dir::Cache=$work/cache -o APT::Sandbox::User=root"
  (cd "$work" && $apt update && $apt download "$@" && for deb in *.deb; do dpkg -x "$deb" "$into"; done) >&2 || {
    say 'could not fetch it; please install valkey or Redis 7.2 by hand'
    exit 1
  }
  rm -rf "$work"
}
