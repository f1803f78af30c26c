# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name; this file is never run on a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: report
short_description: Write what a run came to as a page, as Markdown and as JSON
version_added: 0.1.0
author: myia.vllm contributors (@myia)
description:
  - Reads what the roles of this collection have returned (C(vllm_definition), C(vllm_preflight_result),
    C(docker_engine_result), C(nvidia_container_toolkit_result), C(vllm_config_result), C(vllm_service_result),
    C(vllm_health_result), C(vllm_verify_result), C(vllm_benchmark_result)) from the host's variables. Each
    may be missing.
  - Writes C(reports/<host>/<service>/<UTC time>/) with C(index.html), C(report.md) and C(report.json), and
    C(reports/index.html), which lists all reports, on the controller. Contacts no host.
  - No form holds a secret. The values of C(vllm_hf_token), C(vllm_api_key), of secrets in C(vllm_extra_env) and
    C(vllm_extra_options) and of Ansible's own passwords are masked wherever they stand.
extends_documentation_fragment:
  - myia.vllm.attributes
attributes:
  check_mode:
    support: full
    details: Writes a report in check mode too; it is no change of the host.
  diff_mode:
    support: none
    details: Changes nothing.
options:
  run:
    description: What the run was.
    type: str
    choices: [deploy, rollback, stop, start, restart, verify, benchmark, diagnose, plan]
    default: deploy
  dir:
    description: Folder on the controller in which C(reports/) lies. Empty for the one in which Ansible was started.
    type: str
    default: ""
  keep:
    description: Reports to keep of one service on one host; 0 for all.
    type: int
    default: 50
  failure:
    description: The C(message) of the failure that ended the run, and the name of its C(task); empty without one.
    type: dict
    default: {}
  snapshot:
    description: What M(myia.vllm.service_snapshot_info) returned; empty when it was not run.
    type: dict
    default: {}
seealso:
  - module: myia.vllm.service_snapshot_info
"""

EXAMPLES = r"""
- name: Write the report
  myia.vllm.report:
    run: deploy
    dir: /srv/vllm
    snapshot: "{{ snapshot }}"
  register: vllm_report_result
"""

RETURN = r"""
verdict:
  description: >-
    V(deployed), V(nothing_to_do), V(part_done), V(rolled_back), V(verified), V(benchmarked), V(healthy),
    V(healthy_restarted), V(host_not_fit), V(serves_nothing), V(planned),
    V(plan_uncertain), V(would_change), V(would_not_change), V(refused), V(failed_went_back), V(failed_still_serves),
    V(failed_nothing_serves), V(failed_unseen), V(verification_failed), V(benchmark_failed), V(healthy),
    V(host_not_fit), V(last_release_failed), V(serves_nothing), V(locked) or V(unreachable).
  returned: success
  type: str
summary: {description: The verdict in a sentence., type: str, returned: success}
closing:
  description: The message in which the run ends, with what it came to, why, and where the report is.
  type: str
  returned: success
path: {description: Folder of the report; empty when it could not be written., type: str, returned: success}
url: {description: Address of its page., type: str, returned: success}
report:
  description: >-
    The same with C(tone) (V(good), V(warn), V(bad) or V(neutral)), C(run), C(at), C(check_mode), C(service),
    C(standins), C(release), C(base_url), C(model), C(failure), C(start_s), C(kv_tokens), C(failed_checks) and
    C(benchmark), for C(set_stats).
  returned: success
  type: dict
"""
