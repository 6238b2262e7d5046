#!/bin/sh
# Installs the agent from its tarball, on machines without Debian packages. Run again, it upgrades.
set -eu
cd "$(dirname "$0")"
command -v nft > /dev/null || { echo 'sekisho: install nftables first' >&2; exit 1; }
install -m 0755 sekisho-agent /usr/bin/sekisho-agent
if [ -d /run/systemd/system ]; then
    install -m 0644 sekisho-agent.service /etc/systemd/system/sekisho-agent.service
    systemctl daemon-reload
    systemctl try-restart sekisho-agent.service
fi
