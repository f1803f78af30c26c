/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Copy buttons, and tables that become blocks on a phone. Without scripts code can be marked, and tables scroll.
 */
"use strict";

/* Put a button on each block of code that copies its text. */
const addCopyButtons = () => {
  for (const block of document.querySelectorAll("div.highlight")) {
    const code = block.querySelector("pre");
    const button = document.createElement("button");
    button.className = "copy";
    button.type = "button";
    button.textContent = "Copy";
    button.setAttribute("aria-label", "Copy this code");
    button.addEventListener("click", async () => {
      const done = await copy(code.textContent.replace(/\n$/, ""));
      button.textContent = done ? "Copied" : "Not copied";
      setTimeout(() => (button.textContent = "Copy"), 2000);
    });
    block.append(button);
  }
};

/* Copy a text. Pages that come from a file or without TLS have no clipboard of their own in some browsers. */
const copy = async (text) => {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = document.createElement("textarea");
    area.value = text;
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
};

/* Give each cell its column's name, which is shown where the table is narrow. Tables of antsibull-docs do so themselves. */
const labelTables = () => {
  for (const table of document.querySelectorAll("table.docutils:not(.longtable)")) {
    const names = [...table.querySelectorAll("thead th")].map((cell) => cell.textContent.trim());
    if (!names.length) continue;
    for (const row of table.querySelectorAll("tbody tr"))
      [...row.cells].forEach((cell, column) => (cell.dataset.label = names[column] || ""));
    table.classList.add("stacks");
  }
};

document.addEventListener("DOMContentLoaded", () => {
  addCopyButtons();
  labelTables();
});
