#!/bin/sh
# Installs the Sekisho agent of the server that made this script, and joins. The join string comes by standard input.
set -eu

fail() {
    echo "sekisho: $1" >&2
    exit 1
}

# A function, so that nothing runs before the whole script has arrived.
main() {
    [ "$(id -u)" = 0 ] || fail 'run this as root'
    command -v curl > /dev/null || fail 'curl is needed'
    command -v sha256sum > /dev/null || fail 'sha256sum is needed'
    [ "$(uname -s)" = Linux ] || fail 'the agent runs on Linux'
    case "$(uname -m)" in
        x86_64) arch=amd64 ;;
        aarch64) arch=arm64 ;;
        *) fail "there is no agent for $(uname -m)" ;;
    esac
    form=tar.gz
    command -v apt-get > /dev/null && form=deb
    case "$arch.$form" in
@PACKAGES@
        *) fail "the server has no agent package for $arch ($form)" ;;
    esac
    umask 022
    dir=$(mktemp -d)
    trap 'rm -rf "$dir"' EXIT
    curl -fsSk --pinnedpubkey '@PIN@' -o "$dir/$file" "https://@ADDRESS@/link/agent/$file" < /dev/null
    echo "$sum  $dir/$file" | sha256sum -c --status || fail "$file did not arrive as the server has it"
    if [ "$form" = deb ]; then
        # apt's own user reads the file.
        chmod 755 "$dir"
        export DEBIAN_FRONTEND=noninteractive
        apt-get install -qq -y "$dir/$file" < /dev/null > "$dir/log" 2>&1 \
            || { apt-get update -qq < /dev/null && apt-get install -qq -y "$dir/$file" < /dev/null > "$dir/log" 2>&1; } \
            || { cat "$dir/log" >&2; fail "apt could not install $file"; }
    else
        tar -xzf "$dir/$file" -C "$dir" --strip-components=1
        sh "$dir/install.sh" < /dev/null
    fi
    # The join string, from whoever started this.
    sekisho-agent join
    if [ -d /run/systemd/system ]; then
        systemctl enable --now --quiet sekisho-agent.service
    else
        echo 'sekisho: this machine has no systemd; start the agent with: sekisho-agent run' >&2
    fi
}

main
