# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash disable=SC2016,SC2154
#
# Part of tools/images: how images are made: by mmdebstrap, and by what runs in a container with this machine's network.

# first_mirror SUFFIX: the URI apt uses on this machine for the suite of a Debian release
# with that suffix ("" or "-security").
first_mirror() {
    local site release
    while read -r site release; do
        case $release in
            bookworm"$1" | trixie"$1" | forky"$1" | stable"$1" | oldstable"$1") ;;
            *) continue ;;
        esac
        case $site in
            http://* | https://*) ;;
            mirror+file:*)
                # Debian's cloud images name a file that holds a list of mirrors.
                site=$(grep -m 1 -oE '^https?://[^[:space:]]+' "${site#mirror+file:}" || true)
                ;;
            *) continue ;;
        esac
        if [ -n "$site" ]; then
            printf '%s\n' "${site%/}"
            return 0
        fi
    done < <(apt-get indextargets --no-release-info --format '$(SITE) $(RELEASE)' 'Created-By: Packages')
    return 1
}

mirror=
find_mirrors() {
    [ -z "$mirror" ] || return 0
    command -v mmdebstrap >/dev/null || die "mmdebstrap is missing" "tools/bootstrap tools installs it."
    mirror=${MYIA_DEBIAN_MIRROR:-$(first_mirror "" || true)}
    security_mirror=${MYIA_DEBIAN_SECURITY_MIRROR:-$(first_mirror -security || true)}
    [ -n "$mirror" ] || die "no Debian mirror is known: apt on this machine has no Debian source" \
        "Name one in MYIA_DEBIAN_MIRROR (and MYIA_DEBIAN_SECURITY_MIRROR)."
}

# debootstrap SUITE TARBALL PACKAGES [MMDEBSTRAP OPTION...]
debootstrap() {
    local suite=$1 tarball=$2 packages=$3 proxy
    shift 3
    find_mirrors
    {
        echo "deb $mirror $suite main"
        echo "deb $mirror $suite-updates main"
        if [ -n "$security_mirror" ]; then echo "deb $security_mirror $suite-security main"; fi
    } >"$SCRATCH/sources.list"
    proxy=$(apt-config dump --format '%v' Acquire::http::Proxy 2>/dev/null || true)
    if [ -n "$proxy" ]; then set -- "$@" "--aptopt=Acquire::http::Proxy \"$proxy\""; fi
    # No translations, and the lists compressed: they stay in the image (so that a package
    # manager works there in check mode too) and need not be large for it.
    # mmdebstrap copies resolv.conf and hostname of the machine it runs on: the engine gives a
    # container its own. An empty machine-id, and not "uninitialized": then the first
    # boot would enable every unit that has a preset.
    mmdebstrap --variant=minbase --format=tar --include="$packages" \
        --aptopt='APT::Install-Recommends "false"' \
        --aptopt='Acquire::Languages "none"' \
        --aptopt='Acquire::GzipIndexes "true"' \
        --dpkgopt='path-exclude=/usr/share/man/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' \
        --dpkgopt='path-exclude=/usr/share/doc/*' \
        --dpkgopt='path-include=/usr/share/doc/*/copyright' \
        --customize-hook='rm -f "$1/etc/resolv.conf" "$1/etc/hostname"' \
        --customize-hook=': >"$1/etc/machine-id"' \
        "$@" "$suite" "$tarball" "$SCRATCH/sources.list"
}

# run_and_commit WHAT IMAGE NEW_IMAGE RECIPE ENVIRONMENT DOCKER_RUN_OPTION... -- COMMIT_OPTION...
# The recipe and its environment go in by standard input: what docker run is told by options (a
# proxy, say) would stay in the image. For the same reason everything is mounted below /tmp, which
# is a tmpfs. The recipe is a function, read as a whole before any of it runs.
run_and_commit() {
    local what=$1 image=$2 new=$3 recipe=$4 environment=$5 options=() beat_input=$SCRATCH/recipe
    shift 5
    while [ "$1" != -- ]; do
        options+=("$1")
        shift
    done
    shift
    printf '%s\nrecipe() {\n%s\n}\nrecipe </dev/null\n' "$environment" "$recipe" >"$beat_input"
    scratch_container=myia-vllm-build-$$
    beat "$what" docker run --interactive --name "$scratch_container" --entrypoint "" --network host --tmpfs /tmp:exec \
        "${options[@]}" "$image" /bin/sh -s || die "$what failed"
    beat_input=
    beat "commit $new" docker commit "$@" "$scratch_container" "$new" || die "docker commit of $new failed"
    docker rm -f "$scratch_container" >/dev/null
    scratch_container=
}

# The machine's own CA bundle, where it has one that differs from the distribution's.
own_ca_bundle() {
    if [ -n "${SSL_CERT_FILE:-}" ] && [ -r "$SSL_CERT_FILE" ]; then
        printf '%s\n' "$SSL_CERT_FILE"
    elif [ -n "$(find /usr/local/share/ca-certificates -name '*.crt' 2>/dev/null | head -n 1)" ]; then
        printf '%s\n' /etc/ssl/certs/ca-certificates.crt
    fi
}

# build_environment: shell text that gives a build container the proxies of this machine. It also
# has the machine's network (a proxy may listen on the loopback) and CA bundle.
build_environment() {
    local name
    for name in http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY; do
        if [ -n "${!name:-}" ]; then printf "export %s='%s'\n" "$name" "${!name}"; fi
    done
}

ca_options() {
    local bundle
    bundle=$(own_ca_bundle)
    if [ -n "$bundle" ]; then printf '%s\n' -v "$bundle:/etc/ssl/certs/ca-certificates.crt:ro"; fi
}

# pip_options PYTHON [FILE]: docker run options that give a container this machine's pip
# configuration, as that Python's pip has it, with the local folders that it names. FILE keeps it.
pip_options() {
    PIP_CONF=${2:-$SCRATCH/pip.conf} "$1" - <<'PYTHON'
import ast
import os
import subprocess
import sys

listed = subprocess.run(
    [sys.executable, "-m", "pip", "config", "list"], check=True, capture_output=True, text=True
).stdout
merged = {}
for layer in ("global.", "install.", "download.", ":env:."):
    for line in listed.splitlines():
        key, _, value = line.partition("=")
        if key.startswith(layer):
            merged[key[len(layer) :]] = str(ast.literal_eval(value))

mounts = {}


def inside(word):
    """Return what the container must say for a word that may name a local folder."""
    path = word.removeprefix("file://").rstrip("/")
    if not path.startswith("/") or not os.path.exists(path):
        return word
    # The pages of an index in a folder point at files beside that folder.
    top = os.path.dirname(path) if word.startswith("file://") and os.path.dirname(path) != "/" else path
    mounts.setdefault(top, f"/tmp/pip-{len(mounts)}")
    return word.replace(top, mounts[top], 1)


wanted = ("index-url", "extra-index-url", "find-links", "no-index", "trusted-host", "timeout", "retries", "proxy")
with open(os.environ["PIP_CONF"], "w", encoding="utf-8") as conf:
    conf.write("[global]\n")
    for key in wanted:
        if key in merged:
            conf.write(f"{key} = " + "\n    ".join(inside(word) for word in merged[key].split()) + "\n")
for path, target in mounts.items():
    print("-v", f"{path}:{target}:ro", sep="\n")
print("-v", f"{os.environ['PIP_CONF']}:/tmp/pip.conf:ro", sep="\n")
PYTHON
}
