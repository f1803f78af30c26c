// SPDX-License-Identifier: GPL-3.0-or-later
// Print what a checkout of vllm-project/recipes renders for one host: node recipe_commands.mjs CHECKOUT < INPUT
//
// INPUT is JSON: {recipes: {id: recipe}, strategies, taxonomy}. The commands come from the checkout's own
// src/lib/command-synthesis.js; this file only chooses what to ask it for: each recipe with each variant, each NVIDIA
// hardware and each strategy for one host, with its usual features, without any, with all, with each alone (in each of its modes),
// and with each way to move KV cache out of the GPUs; of vLLM-Omni's recipes each task. Printed is a JSON array of {recipe,
// variant, hardware, strategy, features, argv (or command, a text), env, image, companions, recommended}, the last for
// vLLM-Omni's alone, which the API of the recipes leaves out.

import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";

const lib = await import(pathToFileURL(resolve(process.argv[2], "src/lib/command-synthesis.js")));
const omni = await import(pathToFileURL(resolve(process.argv[2], "src/lib/omni-tasks.js")));
const { recipes, strategies, taxonomy } = JSON.parse(readFileSync(0, "utf8"));
const profiles = taxonomy.hardware_profiles || {};

function featureSets(recipe, hardware, variant) {
  const all = Object.keys(recipe.features || {});
  const optional = new Set([...(recipe.opt_in_features || []), ...(recipe.hardware_opt_in_features?.[hardware] || [])]);
  const forced = Object.keys(variant.default_modes || {});
  const sets = [
    { name: "usual", features: all.filter((name) => forced.includes(name) || !optional.has(name)), modes: {} },
    { name: "none", features: [], modes: {} },
    { name: "all", features: all, modes: {} },
  ];
  for (const name of all) {
    const modes = Object.keys(recipe.features[name]?.modes || {});
    for (const mode of modes.length ? modes : [null]) {
      sets.push({ name: mode ? `${name}:${mode}` : name, features: [name], modes: mode ? { [name]: mode } : {} });
    }
  }
  for (const offload of Object.keys(taxonomy.kv_offload || {})) {
    sets.push({ ...sets[0], name: `usual, ${offload}`, offload });
  }
  return sets;
}

function suits(recipe, variant, hardware) {
  const profile = profiles[hardware];
  return profile.brand === "NVIDIA"
    && (!profile.restricted || hardware in (recipe.meta?.hardware || {}))
    && lib.isHardwareSupported(recipe, hardware)
    && lib.isVariantHardwareSupported(variant, hardware);
}

const found = [];
for (const [id, recipe] of Object.entries(recipes)) {
  const isOmni = (recipe.meta?.tasks || []).includes("omni");
  for (const [variantName, variant] of Object.entries(recipe.variants || {})) {
    for (const hardware of lib.listCompatibleHardware(profiles, variant, recipe)) {
      if (!suits(recipe, variant, hardware)) continue;
      const image = lib.computeDockerMeta(recipe, variant, profiles[hardware], hardware).image;
      if (isOmni) {
        const usual = hardware === lib.pickDefaultHardware(profiles, variant, recipe);
        for (const [index, task] of omni.resolveOmniTasks(recipe).entries()) {
          const { command, env } = lib.resolveOmniCommand(recipe, variantName, task, profiles[hardware], hardware);
          found.push({
            recipe: id, variant: variantName, hardware, strategy: "omni", features: task.id, command, env, image, companions: [],
            recommended: usual && index === 0 && variantName === "default",
          });
        }
        continue;
      }
      for (const strategy of lib.effectiveCompatibleStrategies(recipe)) {
        if (strategies[strategy]?.deploy_type !== "single_node") continue;
        if (!lib.isStrategySupportedOnHardware(recipe, strategy, profiles[hardware], hardware)) continue;
        for (const { name, features, modes, offload } of featureSets(recipe, hardware, variant)) {
          const result = lib.resolveCommand(
            recipe, variantName, strategy, hardware, features, strategies, taxonomy, [], 1, null, modes, offload || null,
          );
          found.push({
            recipe: id, variant: variantName, hardware, strategy, features: name, argv: result.argv, env: result.env || {},
            image, companions: (result.companions || []).map((item) => item.label),
          });
        }
      }
    }
  }
}
process.stdout.write(JSON.stringify(found));
