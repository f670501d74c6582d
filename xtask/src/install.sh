# Installs the Debian packages that are its arguments. Runs as root. The daemons among them are
# neither started now nor at the next boot: the tests start their own.
set -eu
export DEBIAN_FRONTEND=noninteractive

# Debian asks this file before it starts a daemon. Where there is one, the machine has its own rule.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    trap 'exit 1' HUP INT TERM
    printf '#!/bin/sh\nexit 101\n' > "$policy"
    chmod 755 "$policy"
fi

# One unreachable source among many is no reason to stop; a missing package will be.
apt-get update || true
apt-get install -y --no-install-recommends -o DPkg::Lock::Timeout=300 "$@"

for package in "$@"; do
    if [ -e "/lib/systemd/system/$package.service" ] && command -v systemctl > /dev/null; then
        systemctl disable --quiet "$package"
    fi
done
