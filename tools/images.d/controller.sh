# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash disable=SC2016,SC2154
#
# Part of tools/images: what runs Ansible: the execution environment, and Debian 13's Python for versions of ansible-core.

# What runs inside the plain test host to make the base of it. The build that follows has no network: what it
# installs is downloaded here, where mirrors, proxies and certificates of the machine are lent and do not stay.
# receptor is no part of an execution environment: with it the image is an execution node of AWX's, too.
EE_BASE_RECIPE=$(
    cat <<'RECIPE'
set -eu
export DEBIAN_FRONTEND=noninteractive
[ -n "$(ls /var/lib/apt/lists/*Packages* 2>/dev/null)" ] || apt-get -q update
apt-get -q -y --no-install-recommends install python3-pip receptor
apt-get clean
apt-get -q -y --no-install-recommends --download-only install $SYSTEM_PACKAGES
export TMPDIR=/var/tmp PIP_CONFIG_FILE=/tmp/pip.conf PIP_CERT=/etc/ssl/certs/ca-certificates.crt
printf '%s\n' "$REQUIREMENTS" >/tmp/requirements.txt
python3 -m pip --disable-pip-version-check --no-input --no-cache-dir download --only-binary=:all: --progress-bar off \
    -d /opt/wheels -r /tmp/requirements.txt
rm -rf /root/.cache /var/log/apt/* /var/log/dpkg.log
RECIPE
)

make_ee() {
    local python=$ROOT/.venv/bin/python requirements packages wanted old options=() started=$SECONDS
    [ -x "$python" ] || die ".venv is missing" "tools/bootstrap tools makes it."
    make_testhost trixie
    requirements=$("$python" "$ROOT/tools/local_ee.py" python)
    packages=$("$python" "$ROOT/tools/local_ee.py" system | tr '\n' ' ')

    wanted=$(hash_of "$(image_id "$TESTHOST:trixie")" "$EE_BASE_RECIPE" "$requirements" "$packages")
    if [ "$(image_inputs "$EE_BASE")" != "$wanted" ]; then
        say "$EE_BASE: building from $TESTHOST:trixie"
        old=$(image_id "$EE_BASE")
        mapfile -t options < <(ca_options && pip_options "$python")
        run_and_commit "downloads for the execution environment" "$TESTHOST:trixie" "$EE_BASE" "$EE_BASE_RECIPE" \
            "$(build_environment; printf "SYSTEM_PACKAGES='%s'\nREQUIREMENTS='%s'\n" "$packages" "$requirements")" \
            "${options[@]}" -- -c 'CMD ["bash"]' -c "LABEL $INPUTS_LABEL=$wanted"
        drop_image "$old"
    fi

    beat "ansible-builder create" "$python" "$ROOT/tools/local_ee.py" create "$EE_BASE" "$SCRATCH/ee" \
        || die "the build context could not be made"
    wanted=$(hash_of "$(image_id "$EE_BASE")" "$(cd "$SCRATCH/ee" && find . -type f -print0 | sort -z | xargs -0 sha256sum)")
    old=$(image_id "$EE_IMAGE")
    if [ "$(image_inputs "$EE_IMAGE")" = "$wanted" ]; then
        say "$EE_IMAGE: up to date"
        return 0
    fi
    say "$EE_IMAGE: building"
    # the classic builder: not every client has BuildKit's
    beat "docker build" env DOCKER_BUILDKIT=0 docker build --force-rm --network none --label "$INPUTS_LABEL=$wanted" -t "$EE_IMAGE" \
        "$SCRATCH/ee" || die "the execution environment could not be built"
    if [ "$old" != "$(image_id "$EE_IMAGE")" ]; then drop_image "$old"; fi
    # the stages of builds before serve the next build as a cache, but not for ever
    docker image prune --force --filter "label=$INPUTS_LABEL" --filter until=24h >/dev/null
    say "$EE_IMAGE: built in $((SECONDS - started)) s, $(image_size "$EE_IMAGE")"
}

PYTHON_RECIPE=$(
    cat <<'RECIPE'
set -eu
export DEBIAN_FRONTEND=noninteractive
[ -n "$(ls /var/lib/apt/lists/*Packages* 2>/dev/null)" ] || apt-get -q update
apt-get -q -y --no-install-recommends install python3-venv
apt-get clean
rm -f /var/log/apt/* /var/log/dpkg.log
RECIPE
)

# The command runs in the same folder as the same user; it sees this checkout, the folder it runs in and this
# machine's network, and from the environment where programs, homes and Ansible's settings are.
make_python() {
    local file=$1 python=$ROOT/.venv/bin/python wanted old options=()
    [ -x "$python" ] || die ".venv is missing" "tools/bootstrap tools makes it."
    make_testhost trixie
    wanted=$(hash_of "$(image_id "$TESTHOST:trixie")" "$PYTHON_RECIPE")
    if [ "$(image_inputs "$PYTHON_IMAGE")" != "$wanted" ]; then
        say "$PYTHON_IMAGE: building from $TESTHOST:trixie"
        old=$(image_id "$PYTHON_IMAGE")
        mapfile -t options < <(ca_options)
        run_and_commit "Python into trixie" "$TESTHOST:trixie" "$PYTHON_IMAGE" "$PYTHON_RECIPE" "$(build_environment)" \
            "${options[@]}" -- -c 'CMD ["python3"]' -c "LABEL $INPUTS_LABEL=$wanted"
        drop_image "$old"
    fi
    mkdir -p "$(dirname "$file")"
    mapfile -t options < <(ca_options && pip_options "$python" "$file.pip.conf")
    # programs that pass no environment on find it here
    echo 'cert = /etc/ssl/certs/ca-certificates.crt' >>"$file.pip.conf"
    {
        echo '#!/usr/bin/env bash'
        printf '[[ $PWD/ == %q/* ]] || folder=(--volume "$PWD:$PWD")\n' "$ROOT"
        echo 'mapfile -t environment < <(compgen -e | grep -xE "PATH|HOME|ANSIBLE_.*|.*_(proxy|PROXY)" | sed "s/^/--env=/")'
        printf 'exec docker run --rm --init --network host --tmpfs /tmp:exec --user "$(id -u):$(id -g)" --volume %q:%q ' "$ROOT" "$ROOT"
        printf '%q ' "${options[@]}" --volume "$file.pip.conf:/etc/pip.conf:ro"
        printf '%s %q "$@"\n' '"${folder[@]}" --workdir "$PWD" "${environment[@]}"' "$PYTHON_IMAGE"
    } >"$file.new"
    chmod +x "$file.new"
    mv "$file.new" "$file"
    say "$file: runs commands in $PYTHON_IMAGE"
}
