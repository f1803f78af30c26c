# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules of every supported release, and each alert with series that make it fire and series that must not."""

from __future__ import annotations

import pathlib
import shutil
import subprocess

import installed
import pytest
import yaml
from rule_cases import BACKEND, CASES, DCGM_CASES, GATEWAY, OUTAGE, L

from ansible_collections.myia.vllm.plugins.plugin_utils.definition import vllm_options
from ansible_collections.myia.vllm.plugins.plugin_utils.monitoring import alerts, promql, rules
from ansible_collections.myia.vllm.plugins.plugin_utils.monitoring.service import (
    LIMITS,
    MonitoringError,
    Service,
    Timing,
)

ROOT = pathlib.Path(__file__).resolve().parents[5]
PROMTOOL = shutil.which("promtool") or str(ROOT / ".cache/prometheus/usr/bin/promtool")
VERSIONS = vllm_options.versions()

#: Labels of what the timer of the service's host tells.
TIMER = 'host="h1",service="medium",instance="h1:9100",job="vllm-node"'

with_promtool = installed.needs(PROMTOOL)


def service(version: str = VERSIONS[-1], metrics: str = "textfile", **more) -> Service:
    """A service with everything that can be watched."""
    values = {
        "host": "h1", "name": "medium", "model": "m", "release": "r1", "gpus": 2, "node_address": "h1:9100",
        "scheme": "https", "gpu_address": "h1:9400" if metrics == "dcgm" else "",
        "version": version, "gpu_metrics": metrics,
    }  # fmt: skip
    return Service(**{**values, **more})


def made(version: str = VERSIONS[-1], metrics: str = "textfile", **more) -> dict:
    """Its rule file."""
    return rules.of_service(service(version, metrics, **more), Timing(), LIMITS)


def alert_names(file: dict) -> set[str]:
    """The names of the alerts in a rule file."""
    return {rule["alert"] for group in file["groups"] for rule in group["rules"] if "alert" in rule}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("metrics", ["textfile", "dcgm", "none"])
def test_every_release_has_its_names(version, metrics) -> None:
    """No rule of a release names what that release does not show."""
    for group in made(version, metrics)["groups"]:
        for rule in group["rules"]:
            vllm = {name for name in promql.names(rule["expr"]) if name.startswith("vllm:")}
            assert vllm <= promql.of_release(version), rule
    left = set(alerts.left_out(service(version), Timing(), LIMITS))
    assert left == (set() if VERSIONS.index(version) >= VERSIONS.index("0.32.0") else {"VllmRejecting"})


def test_a_name_that_a_release_lacks_is_a_fault() -> None:
    """The check that the rules pass can fail."""
    groups = [{"rules": [{"alert": "X", "expr": "vllm:gpu_cache_usage_perc > 0.9"}]}]
    with pytest.raises(MonitoringError, match=r"The rule X names vllm:gpu_cache_usage_perc, which vLLM 0\.32\.0"):
        rules.check(groups, "0.32.0")


def test_kinds() -> None:
    """A service that writes no tokens has no alerts about tokens; one without an agent none about its host."""
    chat, embed = alert_names(made()), alert_names(made(kind="embed"))
    assert {"VllmTtftSlow", "VllmStalled", "VllmSyntheticFailing", "VllmTtftBurn1h"} <= chat - embed
    assert {"VllmDown", "VllmHealthFailing", "VllmKeyRejected", "VllmAvailabilityBurn1h"} <= embed
    bare = alert_names(made(node_address="", metrics="none", scheme="http"))
    assert not bare & {"VllmRestartLoop", "HostDiskFull", "GpuHot", "CertificateExpires"}


def test_labels() -> None:
    """By them alerts are kept quiet, made superfluous by others, and told again after a deployment."""
    for group in made()["groups"]:
        for rule in group["rules"]:
            if "alert" in rule:
                assert rule["labels"]["host"] == "h1"
                assert rule["labels"]["severity"] in ("page", "ticket")
                assert rule["labels"].get("service") == (None if rule["labels"]["scope"] == "host" else "medium")
                assert rule["annotations"]["runbook_url"].endswith("#" + rule["alert"].lower())


def test_every_alert_has_a_case() -> None:
    """And no case is left over."""
    assert {alert.name for alert in rules.every_alert()} == set(CASES)
    assert alert_names(made()) | {name for name in CASES if name.startswith("Gateway")} == set(CASES)


def cases_for_promtool(cases: dict) -> list[dict]:
    """Return what promtool runs: each alert fires with its first series an hour after, and not with its second."""
    found = []
    for name, (firing, quiet) in cases.items():
        for wanted, series in ((True, firing), (False, quiet)):
            found.append({
                "interval": "15s",
                "name": "%s %s" % (name, "fires" if wanted else "is quiet"),
                "input_series": [{"series": key, "values": values} for key, values in series.items()],
                "promql_expr_test": [{
                    "expr": 'count(ALERTS{alertname="%s",alertstate="firing"}) > bool 0' % name,
                    # an hour after it was told first
                    "eval_time": "74m45s" if name == "VllmOomKilled" and not wanted else "59m45s",
                    "exp_samples": [{"labels": "{}", "value": 1}] if wanted else [],
                }],
            })  # fmt: skip
    return found


def promtool(folder: pathlib.Path, files: dict[str, dict], tests: list[dict]) -> subprocess.CompletedProcess:
    """Check rule files and run tests on them."""
    for name, file in files.items():
        (folder / name).write_text(yaml.safe_dump(file), encoding="utf-8")
    checked = subprocess.run(
        [PROMTOOL, "check", "rules", "--lint=all", "--lint-fatal", *files],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert checked.returncode == 0, checked.stdout + checked.stderr
    wanted = {"rule_files": list(files), "evaluation_interval": "15s", "tests": tests}
    (folder / "tests.yml").write_text(yaml.safe_dump(wanted), encoding="utf-8")
    return subprocess.run(
        [PROMTOOL, "test", "rules", "tests.yml"], cwd=folder, capture_output=True, text=True, check=False
    )


@with_promtool
@pytest.mark.parametrize(("metrics", "cases"), [("textfile", CASES), ("dcgm", DCGM_CASES)], ids=["textfile", "dcgm"])
def test_alerts_fire_and_are_quiet(tmp_path, metrics, cases) -> None:
    """As promtool sees it, with the delays that the rules have."""
    files = {"service.yml": made(metrics=metrics), "gateway.yml": rules.of_gateway(Timing(), LIMITS)}
    done = promtool(tmp_path, files, cases_for_promtool(cases))
    assert done.returncode == 0, done.stdout + done.stderr


@with_promtool
def test_a_service_that_was_stopped_on_purpose(tmp_path) -> None:
    """Nobody is told, and no budget is burnt; with the same series and no note they are."""
    down = {'up{job="vllm",%s}' % L: "0x240", **OUTAGE}
    told = {**down, "vllm_stopped{%s}" % TIMER: "0x240", "vllm_deploying{%s}" % TIMER: "0x240"}
    quiet = {**told, "vllm_stopped{%s}" % TIMER: "1x240"}
    cases = {name: (told, quiet) for name in ("VllmDown", "VllmHealthFailing", "VllmAvailabilityBurn1h")}
    done = promtool(tmp_path, {"service.yml": made()}, cases_for_promtool(cases))
    assert done.returncode == 0, done.stdout + done.stderr


@with_promtool
@pytest.mark.parametrize(
    ("server", "host", "of_two"), [("h1", "h1", False), ("h1-medium", "h1", False), ("h1", "h1", True)]
)
def test_a_gateway_before_a_service_that_was_stopped_on_purpose(tmp_path, server, host, of_two) -> None:
    """Nobody is called for its server; where another one should be there, that none is left is told."""
    status = 'haproxy_server_status{proxy="vllm_medium",server="%s",state="%s",' + GATEWAY + "}"
    down = {BACKEND: "0x240", status % (server, "UP"): "0x240", status % (server, "DOWN"): "1x240"}
    if of_two:
        down[status % ("h2", "UP")] = "0x240"
    stopped = 'vllm_stopped{host="%s",service="medium"}' % host
    quiet = {**down, stopped: "1x240"}
    cases = {"GatewayServerDown": ({**down, stopped: "0x240"}, quiet)}
    found = cases_for_promtool(
        {**cases, "GatewayNoServer": ({**down, stopped: "0x240"}, {BACKEND: "1x240"} if of_two else quiet)}
    )
    done = promtool(tmp_path, {"gateway.yml": rules.of_gateway(Timing(), LIMITS)}, found)
    assert done.returncode == 0, done.stdout + done.stderr
    if of_two:
        fires = cases_for_promtool({"GatewayNoServer": (quiet, {BACKEND: "1x240"})})
        done = promtool(tmp_path, {"gateway.yml": rules.of_gateway(Timing(), LIMITS)}, fires)
        assert done.returncode == 0, done.stdout + done.stderr


@with_promtool
@pytest.mark.parametrize(("servers", "named"), [(["h1"], 1), (["h1", "h2"], 0)])
def test_the_only_server_is_named(tmp_path, servers, named) -> None:
    """By it the alert is kept quiet while that host is deployed to; that several are gone is expected by nobody."""
    status = 'haproxy_server_status{proxy="vllm_medium",server="%s",state="UP",' + GATEWAY + "}"
    case = {
        "interval": "15s",
        "input_series": [
            {"series": key, "values": "0x240"} for key in (BACKEND, *(status % server for server in servers))
        ],
        "promql_expr_test": [{
            "expr": 'count(ALERTS{alertname="GatewayNoServer",server="%s"}) or vector(0)' % named_of,
            "eval_time": "59m45s",
            "exp_samples": [{"labels": "{}", "value": wanted}],
        } for named_of, wanted in (("h1", named), ("", 1 - named))],
    }  # fmt: skip
    done = promtool(tmp_path, {"gateway.yml": rules.of_gateway(Timing(), LIMITS)}, [case])
    assert done.returncode == 0, done.stdout + done.stderr


def test_one_of_several_hosts_without_an_api() -> None:
    """Its container and machine are watched there; nobody is called since it does not answer, as another one does."""
    groups = rules.of_service(service(has_api=False), Timing(), LIMITS)["groups"]
    names = {rule["alert"] for group in groups for rule in group["rules"]}
    assert {"VllmCrashed", "VllmRestartLoop", "VllmReleaseDrift", "GpuMissing"} <= names
    assert not names & {"VllmDown", "VllmHealthFailing", "VllmSyntheticFailing", "CertificateExpires"}
    assert not [name for name in names if "Burn" in name]


@with_promtool
def test_promtool_can_fail(tmp_path) -> None:
    """A quiet case with the series of the firing one."""
    firing = CASES["VllmDown"][0]
    done = promtool(tmp_path, {"service.yml": made()}, cases_for_promtool({"VllmDown": (firing, firing)}))
    assert done.returncode == 1, done.stdout


@with_promtool
@pytest.mark.parametrize("version", [VERSIONS[0], "0.20.0"])
def test_rules_of_older_releases_are_rules(tmp_path, version) -> None:
    """Prometheus reads them."""
    quiet = {"VllmDown": CASES["VllmDown"]}
    done = promtool(tmp_path, {"service.yml": made(version)}, cases_for_promtool(quiet))
    assert done.returncode == 0, done.stdout + done.stderr
