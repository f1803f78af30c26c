# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash disable=SC2016,SC2154
#
# Part of tools/images: the hosts to deploy to.

TESTHOST_PACKAGES=systemd,systemd-sysv,dbus,python3,python3-apt,iproute2,ca-certificates,sudo,procps,kmod,iptables,gnupg,curl

# Timers that would start downloads or disk work in the middle of a test are masked.
build_testhost() {
    local suite=$1 image=$2 inputs=$3
    beat "mmdebstrap $suite" debootstrap "$suite" "$SCRATCH/rootfs.tar" "$TESTHOST_PACKAGES" \
        --skip=cleanup/apt/lists \
        --customize-hook='for unit in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer fstrim.timer; do ln -sf /dev/null "$1/etc/systemd/system/$unit"; done' \
        || die "the test host $suite could not be built"
    beat "docker import" docker import \
        -c 'CMD ["/lib/systemd/systemd"]' -c 'ENV container=docker' \
        -c "LABEL $INPUTS_LABEL=$inputs" \
        -c "LABEL org.opencontainers.image.description=\"Test host of the myia.vllm collection, made by mmdebstrap\"" \
        "$SCRATCH/rootfs.tar" "$image" || die "docker import of the test host $suite failed"
    rm -f "$SCRATCH/rootfs.tar"
}

# What runs inside the plain test host to make a -docker one of it. Debian 12 has no Compose
# v2: Debian 13's package runs there too, and is the only one taken from there. Its source
# goes again afterwards, so that the host looks like any Debian 12 with a Compose put in place.
# (The heredoc is shell text for the container: nothing is expanded here.)
TESTHOST_DOCKER_RECIPE=$(
    cat <<'RECIPE'
set -eu
export DEBIAN_FRONTEND=noninteractive
# There is no init system at this moment: nothing must try to start a service.
printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
chmod +x /usr/sbin/policy-rc.d
[ -n "$(ls /var/lib/apt/lists/*Packages* 2>/dev/null)" ] || apt-get -q update
. /etc/os-release
case ${VERSION_ID:-} in
    12)
        apt-get -q -y --no-install-recommends install docker.io containerd runc
        site=$(apt-get indextargets --no-release-info --format '$(SITE) $(RELEASE)' 'Created-By: Packages' \
            | awk '$2 == "bookworm" { print $1; exit }')
        printf 'Types: deb\nURIs: %s\nSuites: trixie\nComponents: main\nSigned-By: %s\n' \
            "$site" /usr/share/keyrings/debian-archive-keyring.gpg >/etc/apt/sources.list.d/compose.sources
        printf 'Package: *\nPin: release n=trixie\nPin-Priority: -1\n\nPackage: docker-compose\nPin: release n=trixie\nPin-Priority: 500\n' \
            >/etc/apt/preferences.d/compose
        apt-get -q update
        apt-get -q -y --no-install-recommends install docker-compose
        rm -f /etc/apt/sources.list.d/compose.sources /etc/apt/preferences.d/compose /var/lib/apt/lists/*_trixie_*
        ;;
    *)
        apt-get -q -y --no-install-recommends install docker.io docker-cli containerd runc docker-compose
        ;;
esac
docker compose version
apt-get clean
rm -f /usr/sbin/policy-rc.d /var/log/apt/* /var/log/dpkg.log
RECIPE
)

too_old() {
    local created age
    created=$(docker image inspect --format '{{.Created}}' "$1")
    age=$((($(date +%s) - $(date -d "$created" +%s)) / 86400))
    ((age > TESTHOST_MAX_AGE_DAYS))
}

make_testhost() {
    local name=$1 suite=${1%-docker} image=$TESTHOST:$1 wanted override override_name started=$SECONDS old options=()
    override_name=MYIA_TESTHOST_IMAGE_${suite^^}
    override=${!override_name:-}
    if [ -n "$override" ]; then
        if ! have_image "$override"; then
            beat "docker pull $override" docker pull "$override" \
                || die "$override_name names $override, and it cannot be pulled"
        fi
        wanted=$(hash_of "$(image_id "$override")")
    else
        find_mirrors
        wanted=$(hash_of "$mirror" "$security_mirror" "$TESTHOST_PACKAGES" "$(declare -f build_testhost debootstrap)")
    fi
    old=$(image_id "$image")

    if [ "$name" = "$suite" ]; then
        if [ -n "$override" ]; then
            docker tag "$override" "$image"
            say "$image: is $override"
            return 0
        fi
        if [ "$(image_inputs "$image")" = "$wanted" ] && ! too_old "$image"; then
            say "$image: up to date"
            return 0
        fi
        say "$image: building"
        build_testhost "$suite" "$image" "$wanted"
    else
        make_testhost "$suite"
        wanted=$(hash_of "$(image_id "$TESTHOST:$suite")" "$TESTHOST_DOCKER_RECIPE")
        if [ "$(image_inputs "$image")" = "$wanted" ]; then
            say "$image: up to date"
            return 0
        fi
        say "$image: building from $TESTHOST:$suite"
        mapfile -t options < <(ca_options)
        run_and_commit "Docker Engine into $suite" "$TESTHOST:$suite" "$image" "$TESTHOST_DOCKER_RECIPE" \
            "$(build_environment)" "${options[@]}" -- -c 'CMD ["/lib/systemd/systemd"]' -c "LABEL $INPUTS_LABEL=$wanted"
    fi
    if [ "$old" != "$(image_id "$image")" ]; then drop_image "$old"; fi
    say "$image: built in $((SECONDS - started)) s, $(image_size "$image")"
}

make_testhosts() {
    local name
    if ((!$#)); then set -- "${TESTHOST_NAMES[@]}"; fi
    for name in "$@"; do
        case " ${TESTHOST_NAMES[*]} " in
            *" $name "*) make_testhost "$name" ;;
            *) die "unknown test host '$name'" "One of: ${TESTHOST_NAMES[*]}" ;;
        esac
    done
}
