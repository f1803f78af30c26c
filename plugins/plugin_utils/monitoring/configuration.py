# SPDX-License-Identifier: GPL-3.0-or-later
"""Make the configuration of Prometheus and Alertmanager, and the targets of both.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import json

import yaml

from ansible_collections.myia.vllm.plugins.plugin_utils.monitoring.service import NAME, MonitoringError, Service, Timing

#: Folder of everything that the collection writes on a monitoring host.
FOLDER = "/etc/vllm-monitoring"

HEAD = "# Written by the role myia.vllm.vllm_monitoring.\n"

#: What each kind is asked: path, body without the model, and what the answer must match. It costs one token.
QUESTIONS = {
    "chat": (
        "/v1/chat/completions",
        {"messages": [{"role": "user", "content": "ping"}], "max_tokens": 1, "temperature": 0},
        r'"finish_reason":\s*"(length|stop)"',
    ),
    "base": ("/v1/completions", {"prompt": "ping", "max_tokens": 1, "temperature": 0}, r'"finish_reason":\s*"'),
    "embed": ("/v1/embeddings", {"input": "ping"}, r'"embedding"'),
    "rerank": ("/rerank", {"query": "ping", "documents": ["pong"]}, r'"relevance_score"'),
    "classify": ("/classify", {"input": "ping"}, r'"probs"'),
    "token_classify": ("/pooling", {"input": "ping"}, r'"data"'),
    "reward": ("/pooling", {"input": "ping"}, r'"data"'),
}
QUESTIONS["vision"] = QUESTIONS["chat"]

#: The file of targets of which there are none.
NOBODY = "[]\n"

#: A probe may take this much less than its scrape, which blackbox_exporter keeps for itself.
_RESERVE_S = 0.5


def dump(data: object) -> str:
    """Return data as a YAML file."""
    return HEAD + _yaml(data)


def _yaml(data: object) -> str:
    # Ansible's texts are of a class of its own, which YAML does not know
    plain = json.loads(json.dumps(data))
    return yaml.safe_dump(plain, sort_keys=False, width=110, allow_unicode=True)


def targets(service: Service) -> dict[str, str]:
    """Return the target files of a service, by their path below the folder of targets.

    Prometheus reads them again by itself. ``model`` and ``release`` are labels, so that an alert that fires again after
    a deployment is another one, and told again.
    """
    for what, value in (("vllm_name", service.name), ("the inventory's name of the host", service.host)):
        if not NAME.match(value):
            raise MonitoringError(
                "%s is %r. It becomes a label and a file's name: use letters, digits, _ . and -." % (what, value)
            )
    labels = {"host": service.host, "service": service.name, "model": service.model, "release": service.release}
    of_probes = {"__scheme__": service.scheme, "__vllm_module": "request_" + service.id}
    if service.kind in QUESTIONS:
        of_probes["__vllm_path"] = QUESTIONS[service.kind][0]
    # an empty list, so that the file of before asks nobody
    own = _file(service.address, {**labels, **of_probes}) if service.has_api else NOBODY
    found = {"vllm/%s.json" % service.id: own}
    if service.node_address:
        found["node/%s.json" % service.host] = _file(service.node_address, {"host": service.host})
    if service.gpu_address:
        found["gpu/%s.json" % service.host] = _file(service.gpu_address, {"host": service.host})
    return found


def gateway_targets(name: str, metrics: str, clients: str) -> dict[str, str]:
    """Return the target files of a gateway.

    Args:
        name: the inventory's name of its host.
        metrics: address and port of HAProxy's own exporter.
        clients: address and port at which clients reach it by TLS; "" where it does not speak TLS.
    """
    found = {"gateway/%s.json" % name: _file(metrics, {"gateway": name})}
    found["certificate/%s.json" % name] = _file(clients, {"gateway": name}) if clients else NOBODY
    return found


def _file(address: str, labels: dict[str, str]) -> str:
    return json.dumps([{"targets": [address], "labels": labels}], indent=2) + "\n"


def question(service: Service, timeout_s: float, keys: str, verify_tls: bool) -> str:
    """Return the service's part of blackbox_exporter's file: one request that costs one token; "" for none.

    Args:
        service: the service.
        timeout_s: longest time for an answer.
        keys: folder of the files with keys: in ``headers`` blackbox's own page would show one.
        verify_tls: whether a certificate has to be good.
    """
    if service.kind not in QUESTIONS or not service.has_api:
        return ""
    _path, body, wanted = QUESTIONS[service.kind]
    http = {
        "method": "POST",
        "valid_status_codes": [200],
        "preferred_ip_protocol": "ip4",
        "follow_redirects": False,
        "headers": {"Content-Type": "application/json"},
        "body": json.dumps({"model": service.model, **body}),
        "fail_if_body_not_matches_regexp": [wanted],
        "tls_config": {"insecure_skip_verify": not verify_tls},
    }
    if service.api_key_required:
        http["authorization"] = {"type": "Bearer", "credentials_file": "%s/%s.key" % (keys, service.id)}
    module = {"request_" + service.id: {"prober": "http", "timeout": _seconds(timeout_s), "http": http}}
    return _indented(_yaml(module))


def probes_head(timeout_s: float, verify_tls: bool) -> str:
    """Return the beginning of blackbox_exporter's file, to which the services' parts are added."""
    http = {
        "valid_status_codes": [200],
        "preferred_ip_protocol": "ip4",
        "follow_redirects": False,
        "tls_config": {"insecure_skip_verify": not verify_tls},
    }
    # whether it is good is the clients' affair; until when it is good is asked
    tcp = {"tls": True, "preferred_ip_protocol": "ip4", "tls_config": {"insecure_skip_verify": True}}
    modules = {
        "vllm_health": {"prober": "http", "timeout": _seconds(timeout_s), "http": http},
        "vllm_certificate": {"prober": "tcp", "timeout": _seconds(timeout_s), "tcp": tcp},
    }
    return HEAD + "modules:\n" + _indented(_yaml(modules))


def _indented(text: str) -> str:
    return "".join("  %s\n" % line for line in text.splitlines())


def _seconds(number: float) -> str:
    return "%dms" % int(1000 * number)


def probe_timeout_s(timing: Timing) -> float:
    """Return how long a probe may take: ten seconds, and less than the time between two."""
    return min(10.0, timing.probe_s - 1) - _RESERVE_S


def prometheus(timing: Timing, user: str, address: str, ports: dict[str, int], verify_tls: bool) -> str:
    """Return prometheus.yml.

    Args:
        timing: how often things are asked.
        user: of the basic authentication that everything here has; the password is in a file.
        address: at which the programs on the monitoring host answer.
        ports: theirs, by program.
        verify_tls: whether a service's certificate has to be good.
    """
    auth = {"basic_auth": {"username": user, "password_file": FOLDER + "/password"}}
    local = ("[%s]" if ":" in address else "%s") % address + ":%d"

    def sd(kind: str) -> dict:
        return {"file_sd_configs": [{"files": ["%s/targets/%s/*.json" % (FOLDER, kind)], "refresh_interval": "30s"}]}

    tls = {"tls_config": {"insecure_skip_verify": not verify_tls}}
    jobs = [{"job_name": "vllm", **sd("vllm"), **tls}]
    jobs += [_probe_job("vllm-health", timing, local % ports["blackbox"], auth, sd("vllm"))]
    jobs += [_probe_job("vllm-request", timing, local % ports["blackbox"], auth, sd("vllm"))]
    jobs += [{"job_name": "vllm-node", **sd("node"), **auth}, {"job_name": "vllm-gpu", **sd("gpu")}]
    jobs += [{"job_name": "vllm-gateway", **sd("gateway")}]
    jobs += [_probe_job("vllm-certificate", timing, local % ports["blackbox"], auth, sd("certificate"))]
    own = [local % ports[name] for name in ("prometheus", "alertmanager", "blackbox")]
    jobs += [{"job_name": "vllm-monitoring", **auth, "static_configs": [{"targets": own}]}]
    return dump(
        {
            "global": {
                "scrape_interval": "%ds" % timing.scrape_s,
                "scrape_timeout": "%ds" % min(10, timing.scrape_s),
                "evaluation_interval": "%ds" % timing.scrape_s,
            },
            "rule_files": [FOLDER + "/rules/*.yml"],
            "alerting": {"alertmanagers": [{**auth, "static_configs": [{"targets": [local % ports["alertmanager"]]}]}]},
            "scrape_configs": jobs,
        }
    )


def _probe_job(name: str, timing: Timing, blackbox: str, auth: dict, sd: dict) -> dict:
    relabel = [{"source_labels": ["__address__"], "target_label": "instance"}]
    if name == "vllm-health":
        way = {"target_label": "__param_target", "replacement": "$1/health"}
        module = {"target_label": "__param_module", "replacement": "vllm_health"}
        source = ["__scheme__", "__address__"]
        way = {**way, "regex": "(.+);(.+)", "replacement": "$1://$2/health"}
    elif name == "vllm-certificate":
        way = {"target_label": "__param_target"}
        module = {"target_label": "__param_module", "replacement": "vllm_certificate"}
        source = ["__address__"]
    else:
        # a kind that cannot be asked in one request
        relabel.insert(0, {"source_labels": ["__vllm_path"], "regex": "", "action": "drop"})
        way = {"target_label": "__param_target", "regex": "(.+);(.+);(.+)", "replacement": "$1://$2$3"}
        module = {"source_labels": ["__vllm_module"], "target_label": "__param_module"}
        source = ["__scheme__", "__address__", "__vllm_path"]
    relabel += [
        {"source_labels": source, **way},
        module,
        {"target_label": "__scheme__", "replacement": "http"},
        {"target_label": "__address__", "replacement": blackbox},
    ]
    return {
        "job_name": name,
        "metrics_path": "/probe",
        "scrape_interval": "%ds" % timing.probe_s,
        "scrape_timeout": "%gs" % (probe_timeout_s(timing) + _RESERVE_S),
        **sd,
        **auth,
        "relabel_configs": relabel,
    }


#: Keys of a receiver by type, the needed ones first.
RECEIVERS = {
    "webhook": (("url",), ()),
    "slack": (("url",), ("channel",)),
    "email": (("to", "from", "smarthost"), ("username", "password", "require_tls")),
}
_EVERY_RECEIVER = ("type", "severities", "send_resolved")
SEVERITIES = ("page", "ticket")


def alertmanager(receivers: list[dict], group_wait_s: int, repeat_s: int) -> str:
    """Return alertmanager.yml. It holds secrets.

    ``release`` is part of a group: what fires again after a deployment is told again, though a silence had swallowed
    that it had ended.

    Args:
        receivers: as ``vllm_monitoring_receivers``.
        group_wait_s: how long the first notification waits for others of its group.
        repeat_s: after how many seconds a page that still holds is sent again; tickets after twelve times as many.
    """
    told = {severity: [] for severity in SEVERITIES}
    for number, receiver in enumerate(receivers, 1):
        for severity in _checked_receiver(number, receiver):
            told[severity].append(receiver)
    routes = [
        {
            "receiver": severity,
            "matchers": ['severity="%s"' % severity],
            "repeat_interval": "%ds" % (repeat_s if severity == "page" else 12 * repeat_s),
        }
        for severity in SEVERITIES
    ]
    return dump(
        {
            "route": {
                "receiver": "ticket",
                "group_by": ["alertname", "host", "service", "release", "gateway"],
                "group_wait": "%ds" % group_wait_s,
                "group_interval": "%ds" % max(group_wait_s, 5),
                "routes": routes,
            },
            "inhibit_rules": _inhibitions(),
            "receivers": [{"name": severity, **_sections(told[severity])} for severity in SEVERITIES],
        }
    )


def _checked_receiver(number: int, receiver: dict) -> tuple[str, ...]:
    where = "vllm_monitoring_receivers, entry %d" % number
    if not isinstance(receiver, dict):
        raise MonitoringError("%s is no dictionary. Give it a type, one of %s." % (where, ", ".join(RECEIVERS)))
    kind = receiver.get("type")
    if not isinstance(kind, str) or kind not in RECEIVERS:
        raise MonitoringError("%s: its type is %r. Choose one of %s." % (where, kind, ", ".join(RECEIVERS)))
    needed, more = RECEIVERS[kind]
    lacking = [key for key in needed if not receiver.get(key)]
    if lacking:
        raise MonitoringError("%s: a receiver of the type %s needs %s." % (where, kind, " and ".join(lacking)))
    wrong = [key for key in receiver if key not in (*needed, *more, *_EVERY_RECEIVER)]
    if wrong:
        raise MonitoringError(
            "%s: a receiver of the type %s has no key %s. It takes %s."
            % (where, kind, ", ".join(wrong), ", ".join((*needed, *more, *_EVERY_RECEIVER)))
        )
    severities = receiver.get("severities", SEVERITIES)
    listed = isinstance(severities, (list, tuple))
    if not listed or not severities or any(item not in SEVERITIES for item in severities):
        raise MonitoringError(
            "%s: its severities are %r. Make them a list of %s." % (where, severities, ", ".join(SEVERITIES))
        )
    return tuple(severities)


def _sections(receivers: list[dict]) -> dict:
    found: dict[str, list] = {}
    for receiver in receivers:
        section = {"send_resolved": bool(receiver.get("send_resolved", True))}
        if receiver["type"] == "webhook":
            section["url"] = receiver["url"]
        elif receiver["type"] == "slack":
            section.update(
                api_url=receiver["url"], title="{{ .CommonLabels.alertname }} ({{ .Status }})",
                text="{{ range .Alerts }}{{ .Annotations.summary }}. {{ .Annotations.action }} "
                "{{ .Annotations.runbook_url }}\n{{ end }}",
            )  # fmt: skip
            section.update({"channel": receiver["channel"]} if receiver.get("channel") else {})
        else:
            section.update({"to": receiver["to"], "from": receiver["from"], "smarthost": receiver["smarthost"]})
            section["require_tls"] = bool(receiver.get("require_tls", True))
            if receiver.get("username"):
                section.update(auth_username=receiver["username"], auth_password=receiver.get("password", ""))
        found.setdefault(receiver["type"] + "_configs", []).append(section)
    return found


def _inhibitions() -> list[dict]:
    """Return which alert makes which others superfluous, on the same service."""
    same = ["host", "service"]

    def rule(source: str, target: str, equal: list[str]) -> dict:
        return {
            "source_matchers": ['alertname="%s"' % source],
            "target_matchers": ['alertname=~"%s"' % target],
            "equal": equal,
        }

    return [
        rule(
            "VllmDown",
            "VllmHealthFailing|VllmSyntheticFailing|VllmStalled|VllmTtft.*|VllmItl.*|Vllm5xx|VllmAvailability.*",
            same,
        ),
        rule("VllmHealthFailing", "VllmSyntheticFailing|VllmStalled|VllmAvailability.*", same),
        rule("VllmSyntheticFailing", "VllmStalled|VllmAvailability.*", same),
        rule("VllmRestartLoop", "VllmCrashed|VllmDown", same),
        rule("VllmAvailabilityBurn1h", "VllmAvailabilityBurn(6h|3d)", same),
        rule("VllmOomKilled", "HostOomKill", ["host"]),
        rule("HostExporterDown", "HostTextfileStale|GpuMissing", ["host"]),
    ]
