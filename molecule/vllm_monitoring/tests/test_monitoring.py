# SPDX-License-Identifier: GPL-3.0-or-later
"""A real vLLM is monitored: who is asked, faults that are told, dashboards under load, a quiet deployment."""

from __future__ import annotations

import base64
import json
import os
import re
import time

import pytest
from monitoring_bed import GATEWAY_KEY, HERE, KEY, NAME, PASSWORD, now

FOLDER = "/etc/vllm-monitoring"

#: Panels that have data only with a feature that this service lacks.
FEATURES = re.compile(r"nvidia_smi|DCGM|admission_rejections")

#: Panels of which another one than the service is the reason that they may be empty: nothing has gone wrong.
MAY_BE_EMPTY = re.compile(r"status=~\"5")


@pytest.fixture(scope="module")
def load(monitoring):
    """Return a function that has clients ask the service for a while."""
    text = base64.b64encode((HERE / "load.py").read_bytes()).decode()
    monitoring.check_output("echo %s | base64 -d > /var/tmp/load.py" % text)

    def ask(clients: int, seconds: int, tokens: int = 64, url: str = "http://node-1:5002", key: str = KEY) -> None:
        monitoring.check_output("systemctl stop load 2>/dev/null; systemctl reset-failed load 2>/dev/null; true")
        monitoring.check_output(
            "systemd-run --quiet --unit=load python3 /var/tmp/load.py %s %s %d %d %d"
            % (url, key, clients, seconds, tokens)
        )

    yield ask
    monitoring.run("systemctl stop load")


@pytest.fixture(autouse=True)
def healthy(node, prometheus):
    """Begin and end with a service that answers, whose alerts are over."""
    yield
    node.run("pkill -CONT -f VLLM::Engine[C]or; docker start %s" % NAME)
    prometheus.wait('service:vllm_available{service="medium"} == 1', 150)
    end = time.monotonic() + 90
    # a goal's budget stays burnt for a while
    pages = 'ALERTS{alertstate="firing",severity="page",alertname!~".*Burn.*"}'
    while prometheus.value(pages):
        assert time.monotonic() < end, prometheus.value("ALERTS")
        time.sleep(2)


def test_who_is_asked(prometheus) -> None:
    """Every target is up, with the labels of the inventory and the release."""
    prometheus.wait('up{job="vllm-node"} == 1')
    prometheus.wait('probe_success{job="vllm-request"} == 1')
    found = prometheus.get("/api/v1/targets")["data"]["activeTargets"]
    jobs = {target["labels"]["job"] for target in found}
    assert jobs == {
        "vllm", "vllm-health", "vllm-request", "vllm-node", "vllm-monitoring", "vllm-gateway", "vllm-certificate",
    }  # fmt: skip
    for target in found:
        assert target["health"] == "up", target
        if target["labels"]["job"] in ("vllm", "vllm-health", "vllm-request"):
            labels = {key: target["labels"][key] for key in ("host", "service", "model")}
            assert labels == {"host": "node-1", "service": "medium", "model": "tiny-qwen3"}
            assert re.match(r"\d{8}T\d{6}Z-", target["labels"]["release"])


def test_nobody_else_is_answered(monitoring, node) -> None:
    """Everything wants a password, and listens where it should; nobody else reads the service's key."""
    for port in (9090, 9093, 9115):
        code = "curl -s -o /dev/null -w '%%{http_code}' %s 127.0.0.1:%d/metrics"
        assert monitoring.check_output(code % ("", port)) == "401"
        assert monitoring.check_output(code % ("-u vllm:" + PASSWORD, port)) == "200"
    listening = monitoring.check_output("ss -Hlntu | awk '{print $5}'").split()
    assert {name for name in listening if name.rpartition(":")[2] in ("9090", "9093", "9094", "9115")} == {
        "127.0.0.1:9090", "127.0.0.1:9093", "127.0.0.1:9115",
    }  # fmt: skip
    address = node.check_output("hostname -i").split()[0]
    of_node = node.check_output("ss -Hlnt | awk '{print $4}' | grep ':9100$'").split()
    assert of_node == ["%s:9100" % address]
    assert node.check_output("curl -s -o /dev/null -w '%%{http_code}' %s:9100/metrics" % address) == "401"
    found = monitoring.check_output("grep -rlF %s /etc /var/lib/prometheus /var/log || true" % KEY).split()
    # this host is the gateway too, which sends the key with each request
    assert {path: monitoring.file(path).mode for path in found} == {
        FOLDER + "/keys/node-1.medium.key": 0o640,
        "/etc/haproxy/vllm/upstream.map": 0o600,
    }
    assert monitoring.file(FOLDER + "/alertmanager.yml").mode == 0o640


def expressions(monitoring) -> list[tuple[str, str, str]]:
    """Return (dashboard, panel, expression) of each target of the dashboards that were written."""
    found = []
    for path in monitoring.check_output("ls %s/dashboards" % FOLDER).split():
        board = json.loads(monitoring.file("%s/dashboards/%s" % (FOLDER, path)).content_string)
        found += [(path, panel["title"], target["expr"]) for panel in board["panels"] for target in panel["targets"]]
    return found


def test_dashboards_under_load(monitoring, prometheus, load) -> None:
    """Prometheus knows each expression of each panel, and has data for it; those of a feature are only understood."""
    load(12, 40, url="https://127.0.0.1", key=GATEWAY_KEY)
    time.sleep(30)
    end = now(monitoring)
    empty, seen = [], 0
    for board, panel, expr in expressions(monitoring):
        text = expr.replace("$__rate_interval", "20s").replace("$host", ".*").replace("$service", ".*")
        text = text.replace("$gateway", ".*")
        answer = prometheus.get("/api/v1/query_range", query=text, start=end - 30, end=end, step=2)
        assert answer["status"] == "success", (panel, expr, answer)
        values = [value for one in answer["data"]["result"] for _at, value in one["values"] if value != "NaN"]
        if not values and not FEATURES.search(expr) and not MAY_BE_EMPTY.search(expr):
            empty.append((board, panel, expr))
        seen += bool(values)
    assert empty == []
    assert seen > 40


def test_down_is_told(node, provoked) -> None:
    """A service that was stopped."""
    told = provoked(
        "docker stop", ("VllmDown",), lambda: node.check_output("docker stop %s" % NAME),
        lambda: node.check_output("docker start %s" % NAME),
    )  # fmt: skip
    one = told["VllmDown"]
    assert (one["host"], one["service"], one["scope"]) == ("node-1", "medium", "service")


def test_stopped_engine_is_told(node, provoked) -> None:
    """An engine that hangs while /health is 200: only a request shows it."""
    provoked(
        "SIGSTOP of the engine", ("VllmSyntheticFailing",),
        lambda: node.check_output("pkill -STOP -f VLLM::Engine[C]or"),
        lambda: node.check_output("pkill -CONT -f VLLM::Engine[C]or"),
    )  # fmt: skip


@pytest.mark.full
def test_killed_engine_is_told(node, provoked) -> None:
    """vLLM ends with exit code 0 when its engine dies, and Docker starts it again."""
    provoked("kill -9 of the engine", ("VllmCrashed",), lambda: node.check_output("pkill -9 -f VLLM::Engine[C]or"))


@pytest.mark.full
def test_restart_loop_is_told(node, provoked) -> None:
    """A container that ends as soon as it has begun."""

    def kill() -> None:
        node.check_output(
            "systemd-run --quiet --unit=killer sh -c 'while :; do sleep 4; "
            'kill -9 $(docker inspect --format "{{ .State.Pid }}" %s); done\'' % NAME
        )

    provoked("process 1 ends again and again", ("VllmRestartLoop",), kill, lambda: node.run("systemctl stop killer"))


@pytest.mark.full
def test_load_is_told(provoked, load) -> None:
    """More clients than it serves, holds and lets wait: tickets, nobody is called."""
    told = provoked(
        "80 clients, 8 requests at a time, 40 wait, 24 blocks of KV cache",
        ("VllmQueueBacklog", "VllmKvPressure", "VllmPreemptions", "VllmRejecting", "Vllm5xx"),
        lambda: load(80, 90, 500),
        lambda: load(1, 1),
    )
    assert {one["severity"] for one in told.values()} == {"ticket"}


@pytest.mark.full
def test_memory_of_another_program_is_told(node, provoked) -> None:
    """The kernel ends what is none of the service's; before the next test, whose alert makes this one superfluous."""
    provoked(
        "OOM kill of another program", ("HostOomKill",),
        lambda: node.check_output(
            "! systemd-run --quiet --collect --wait -p MemoryMax=64M -p MemorySwapMax=0 "
            "python3 -c 'x = b\"x\" * (1 << 30)'"
        ),
    )  # fmt: skip


@pytest.mark.full
def test_memory_that_is_not_enough_is_told(node, provoked) -> None:
    """The kernel ends a process of the container at the container's own limit; vLLM itself goes on."""
    provoked(
        "OOM kill in the container", ("VllmOomKilled",),
        lambda: node.check_output(
            "docker update --memory 4g --memory-swap 4g %s && "
            "! docker exec %s python3 -c 'x = b\"x\" * (6 << 30)'" % (NAME, NAME)
        ),
        lambda: node.check_output("docker update --memory 20g --memory-swap 20g %s" % NAME),
    )  # fmt: skip


@pytest.mark.full
def test_wrong_keys_at_the_gateway_are_told(monitoring, provoked) -> None:
    """Clients with a wrong or an expired key."""
    provoked(
        "clients with a wrong key at the gateway", ("GatewayRejects",),
        lambda: monitoring.check_output(
            "systemd-run --quiet --unit=strangers sh -c 'while :; do sleep 0.2; "
            "curl -sk -H \"Authorization: Bearer wrong\" https://127.0.0.1/v1/models; done'"
        ),
        lambda: monitoring.run("systemctl stop strangers"),
    )  # fmt: skip


@pytest.mark.full
def test_certificate_that_ends_is_told(monitoring, provoked) -> None:
    """One of three days is handed to HAProxy, as an ACME client does whose renewals fail."""
    made = (
        "cd /var/tmp && openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=monitoring-1 -keyout gateway.key "
        "-out gateway.pem -days %d 2>/dev/null && "
        "vllm-gateway-certificate --certificate /var/tmp/gateway.pem --key /var/tmp/gateway.key"
    )
    provoked(
        "a certificate of three days", ("GatewayCertificateExpires",),
        lambda: monitoring.check_output(made % 3), lambda: monitoring.check_output(made % 300),
    )  # fmt: skip


@pytest.mark.full
def test_host_that_the_gateway_does_not_reach_is_told(monitoring, provoked) -> None:
    """The service answers Prometheus, and not the gateway."""
    rule = "OUTPUT -p tcp --dport 5002 -m owner --uid-owner haproxy -j REJECT"
    provoked(
        "the gateway does not reach the host", ("GatewayServerDown", "GatewayNoServer"),
        lambda: monitoring.check_output("iptables -I %s" % rule),
        lambda: monitoring.check_output("iptables -D %s" % rule),
    )  # fmt: skip


@pytest.mark.full
def test_full_disk_is_told(play, provoked) -> None:
    """The test host's disk is the machine's, which nobody wants to be full: the limit comes to the disk instead."""
    playbook = "%s/deploy_monitoring.yml" % os.environ["MOLECULE_PROJECT_DIRECTORY"]
    limits = {"queue_requests": 5, "restarts": 1.5, "disk_free_ratio": 0.999}

    def deploy(*arguments: str) -> None:
        done = play(*arguments, playbook=playbook)
        assert done.status == 0, done.output

    provoked(
        "less free than the limit, which was raised for it", ("HostDiskFull",),
        lambda: deploy("-e", json.dumps({"vllm_monitoring_limits": limits})), deploy,
    )  # fmt: skip


@pytest.mark.full
def test_wrong_key_is_told(monitoring, provoked) -> None:
    """A key that the service refuses is in none of its own numbers."""
    path = FOLDER + "/keys/node-1.medium.key"
    provoked(
        "another key", ("VllmKeyRejected",),
        lambda: monitoring.check_output("cp -p %s /var/tmp/key && echo wrong > %s" % (path, path)),
        lambda: monitoring.check_output("cp -p /var/tmp/key %s && rm /var/tmp/key" % path),
    )  # fmt: skip


@pytest.mark.full
def test_drift_is_told(node, provoked) -> None:
    """Somebody points to another release by hand."""
    link = "/opt/vllm/medium/current"
    provoked(
        "another release is current", ("VllmReleaseDrift",),
        lambda: node.check_output(
            "cd /opt/vllm/medium && readlink current > /var/tmp/before && mkdir "
            "releases/20260101T000000Z-000000000000 && "
            "cp -a current/. releases/20260101T000000Z-000000000000/ && "
            "sed -i 's/\"container_id\": *\"[^\"]*\"/\"container_id\": \"x\"/' "
            "releases/20260101T000000Z-000000000000/release.json && "
            "ln -sfn releases/20260101T000000Z-000000000000 current"
        ),
        lambda: node.check_output(
            "ln -sfn $(cat /var/tmp/before) %s && rm -r /opt/vllm/medium/releases/20260101T000000Z-000000000000" % link
        ),
    )  # fmt: skip


@pytest.mark.full
def test_a_deployment_calls_nobody(play, node, monitoring, prometheus, receiver) -> None:
    """The service is made anew, for a minute nothing answers, and nothing is told; targets have the new release."""
    before = prometheus.wait('up{job="vllm"}')[0]["metric"]["release"]
    start = now(monitoring)
    done = play("-e", json.dumps({"vllm_max_num_seqs": 7}))
    assert done.status == 0, done.output
    time.sleep(30)
    told = [one for one in receiver(start) if one["status"] == "firing"]
    # the budgets that the tests before have burnt stay burnt, which is told of the new release too
    assert [one for one in told if one["severity"] == "page" or "Burn" not in one["alertname"]] == []
    after = prometheus.wait('up{job="vllm"} == 1')[0]["metric"]["release"]
    assert after != before
    silences = prometheus.get("/api/v2/silences", port=9093)
    # of the service, and of its server at gateways
    assert {one["createdBy"] for one in silences} == {"myia.vllm"}
    labels = {tuple(sorted(matcher["name"] for matcher in one["matchers"])) for one in silences}
    assert labels == {("host", "service"), ("proxy", "scope", "server")}


@pytest.mark.full
def test_removal_leaves_no_trace(play, node, monitoring) -> None:
    """Packages, units, users and files are gone, and the service serves."""
    root = os.environ["MOLECULE_PROJECT_DIRECTORY"]
    for playbook in ("deploy_monitoring.yml", "remove_monitoring.yml"):
        done = play("--check", playbook="%s/%s" % (root, playbook))
        assert done.status == 0, done.output
        assert (done.recap["changed"] > 0) is playbook.startswith("remove"), done.output
    assert monitoring.check_output("systemctl is-active prometheus prometheus-alertmanager").split() == ["active"] * 2
    done = play(playbook=root + "/remove_monitoring.yml")
    assert done.status == 0, done.output
    for host in (node, monitoring):
        assert host.run("dpkg-query -W 'prometheus*' 2>/dev/null | grep .").stdout == ""
        assert host.run("ls -d /etc/vllm-monitoring /etc/prometheus /var/lib/prometheus /run/vllm-monitoring "
                        "/etc/systemd/system/*prometheus* /etc/systemd/system/vllm-textfile* "
                        "2>/dev/null").stdout == ""  # fmt: skip
        assert host.run("id prometheus").rc != 0
        assert host.check_output("systemctl list-units --failed --plain --no-legend") == ""
    assert node.check_output("curl -s -o /dev/null -w '%{http_code}' 127.0.0.1:5002/health") == "200"
    again = play(playbook=root + "/remove_monitoring.yml")
    assert (again.status, again.recap["changed"]) == (0, 0), again.output
    back = play(playbook=root + "/deploy_monitoring.yml")
    assert back.status == 0, back.output
