# SPDX-License-Identifier: GPL-3.0-or-later
"""Put together which files a monitoring host has: of itself, of a service, of a gateway.

Private to this collection; may change at any time.
"""

from __future__ import annotations

from ansible_collections.myia.vllm.plugins.plugin_utils.definition import nodes
from ansible_collections.myia.vllm.plugins.plugin_utils.monitoring import (
    addresses,
    configuration,
    dashboards,
    rules,
)
from ansible_collections.myia.vllm.plugins.plugin_utils.monitoring.service import (
    MonitoringError,
    Service,
    Timing,
    checked_limits,
    release_of,
)
from ansible_collections.myia.vllm.plugins.plugin_utils.services import batches

#: Beginning of the names of the groups that a run makes of the services of one machine.
_OF_MACHINE = "vllm_machine_"

#: Ports of the exporters that others install.
GPU_PORTS = {"nvidia_gpu_exporter": 9835, "dcgm": 9400}


def of(part: str, values: dict, host: dict) -> list[dict]:
    """Return the files of a part as {"path", "content", "secret"}.

    Args:
        part: ``server``, ``service``, ``gateway``, ``dashboards``, or ``machine`` for its name alone.
        values: the role's variables.
        host: what the run knows of the host: name, groups, facts, definition ...

    Raises:
        MonitoringError: a variable has a value that cannot be used.
    """
    parts = {
        "server": _server,
        "service": _service,
        "gateway": _gateway,
        "dashboards": _dashboards,
        "machine": _machine,
    }
    if part not in parts:
        raise MonitoringError("There is no part %r. Ask for one of %s." % (part, ", ".join(parts)))
    return parts[part](values, host)


def timing(values: dict) -> Timing:
    """Return how often things are asked; raises MonitoringError for what is too short to ask in."""
    for name, least in (
        ("vllm_monitoring_scrape_s", 1),
        ("vllm_monitoring_probe_s", 3),
        ("vllm_monitoring_hour_s", 60),
    ):
        if values[name] < least:
            raise MonitoringError("%s is %s. Set %d or more seconds." % (name, values[name], least))
    return Timing(
        values["vllm_monitoring_scrape_s"], values["vllm_monitoring_probe_s"], values["vllm_monitoring_hour_s"]
    )


def machine_of(host: dict) -> str:
    """Return the inventory's name of the machine that a service is on."""
    groups = host["groups"]
    for group in groups:
        if group.startswith(_OF_MACHINE) and host["name"] in groups[group]:
            found = [name for name in groups.get("all", []) if batches.machine_group(name) == group]
            return found[0] if found else host["name"]
    return host["name"]


def service_of(values: dict, host: dict) -> tuple[Service, str]:
    """Return (the service of a host, a warning or "")."""
    definition, machine = host["definition"], machine_of(host)
    if not definition:
        raise MonitoringError(
            "vllm_definition is missing: define the service first (role myia.vllm.vllm, tasks_from: define)."
        )
    same = host["monitoring"] == [machine]
    found = str(host["facts"].get("default_ipv4", {}).get("address", ""))
    address = addresses.of_machine(machine, values["vllm_monitoring_address"], found, same)
    reached, warning = addresses.of_service(definition, address, same)
    source = values["vllm_monitoring_gpu_metrics"] if definition["accelerator"] == "nvidia" else "none"
    if source == "textfile" and not values["vllm_monitoring_agent"]:
        source = "none"
    node = addresses.with_port(address, values["vllm_monitoring_node_port"]) if values["vllm_monitoring_agent"] else ""
    gpu = ""
    if source in GPU_PORTS:
        gpu = addresses.with_port(address, values["vllm_monitoring_gpu_port"] or GPU_PORTS[source])
    planned = definition["tensor_parallel_size"] * definition["pipeline_parallel_size"]
    service = Service(
        host=machine,
        name=definition["name"],
        model=host["model"] or definition["served_model_name"],
        version=release_of(host["version"], definition["version"]),
        release=host["release"],
        address=reached,
        scheme=definition["scheme"],
        kind=values["vllm_monitoring_kind"],
        api_key_required=definition["api_key_required"],
        gpus=len(definition["gpu_devices"]) or planned,
        gpu_metrics=source,
        gpu_address=gpu,
        node_address=node,
        container=definition["container_name"],
        has_api=nodes.is_asked(definition),
    )
    return service, warning


def _service(values: dict, host: dict) -> list[dict]:
    service, warning = service_of(values, host)
    when, limits = timing(values), checked_limits(values["vllm_monitoring_limits"])
    found = [_file("targets/" + path, text) for path, text in configuration.targets(service).items()]
    written = rules.of_service(service, when, limits, values["vllm_monitoring_runbook_url"])
    found.append(_file("rules/%s.yml" % service.id, configuration.dump(written)))
    asked = configuration.question(
        service,
        configuration.probe_timeout_s(when),
        configuration.FOLDER + "/keys",
        values["vllm_monitoring_verify_tls"],
    )
    if asked:
        found.append(_file("blackbox.d/50-%s.yml" % service.id, asked))
    if service.api_key_required and asked:
        if not host["api_key"]:
            raise MonitoringError(
                "vllm_api_key: the service wants a key, and monitoring does not know it. Give "
                "deploy_monitoring.yml the same "
                "vaulted variables as the deployment."
            )
        found.append(_file("keys/%s.key" % service.id, str(host["api_key"]) + "\n", secret=True))
    found.append(_file("address", service.node_address.rpartition(":")[0].strip("[]") or "127.0.0.1"))
    return [*found, *([_file("warning", warning)] if warning else [])]


def _machine(values: dict, host: dict) -> list[dict]:
    return [_file("machine", machine_of(host))]


def _server(values: dict, host: dict) -> list[dict]:
    when = timing(values)
    verify = values["vllm_monitoring_verify_tls"]
    listen = values["vllm_monitoring_listen_address"]
    local = "127.0.0.1" if listen in addresses.EVERY else listen
    ports = {name: values["vllm_monitoring_%s_port" % name] for name in ("prometheus", "alertmanager", "blackbox")}
    if len(set(ports.values())) < len(ports):
        raise MonitoringError("Two of vllm_monitoring_*_port have the same value. Give each program its own port.")
    limits = checked_limits(values["vllm_monitoring_limits"])
    gateway = rules.of_gateway(when, limits, values["vllm_monitoring_runbook_url"])
    found = [
        _file("blackbox.d/00-head.yml", configuration.probes_head(configuration.probe_timeout_s(when), verify)),
        _file("rules/gateway.yml", configuration.dump(gateway)),
        _file("prometheus.yml", configuration.prometheus(when, values["vllm_monitoring_user"], local, ports, verify)),
    ]
    if values["vllm_monitoring_mode"] == "install":
        manager = configuration.alertmanager(
            values["vllm_monitoring_receivers"],
            values["vllm_monitoring_group_wait_s"],
            values["vllm_monitoring_repeat_s"],
        )
        found.append(_file("alertmanager.yml", manager, secret=True))
    return found


def _gateway(values: dict, host: dict) -> list[dict]:
    same = host["monitoring"] == [host["name"]]
    found = str(host["facts"].get("default_ipv4", {}).get("address", ""))
    address = addresses.of_machine(host["name"], values["vllm_monitoring_address"], found, same)
    metrics = addresses.with_port(address, values["vllm_monitoring_gateway_port"])
    clients = ""
    if host["gateway"]["vllm_gateway_tls"] != "none":
        own = host["gateway"]["vllm_gateway_address"]
        clients = addresses.with_port(
            own if own and own not in addresses.EVERY else address, host["gateway"]["vllm_gateway_port"]
        )
    found = configuration.gateway_targets(host["name"], metrics, clients)
    return [_file("targets/" + path, text) for path, text in found.items()]


def _dashboards(values: dict, host: dict) -> list[dict]:
    limits = checked_limits(values["vllm_monitoring_limits"])
    made = dashboards.every(release_of(host["version"]), timing(values), limits)
    return [_file("dashboards/%s.json" % name, text) for name, text in made.items()]


def _file(path: str, content: str, secret: bool = False) -> dict:
    return {"path": path, "content": content, "secret": secret}
