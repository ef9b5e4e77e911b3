// Fills the page with what the node says, and asks again every few seconds while the page is seen.
"use strict";

const place = (id) => document.getElementById(id);

async function ask(path) {
  const answer = await fetch(path, { cache: "no-store" });
  const body = await answer.json();
  if (!answer.ok) throw new Error(body.error || answer.statusText);
  return body;
}

// textContent only: names come from whoever deployed them.
function cell(row, text, className) {
  const td = row.insertCell();
  td.textContent = text;
  if (className) td.className = className;
}

function showApplications(applications) {
  const body = place("applications");
  body.replaceChildren();
  for (const application of applications) {
    const row = body.insertRow();
    const status = application.status.replace("APPLICATION_STATUS_", "").toLowerCase();
    cell(row, application.name);
    cell(row, application.version);
    cell(row, status, status === "running" ? "good" : "bad");
    cell(row, application.kind);
    cell(row, String(application.metrics.actor_count));
    cell(row, new Date(application.deployed_at).toLocaleString());
  }
  place("empty").hidden = applications.length > 0;
}

function showHealth(text, good) {
  const health = place("health");
  health.textContent = text;
  health.className = good ? "good" : "bad";
}

async function refresh() {
  try {
    const [summary, list] = await Promise.all([ask("/api/v1/dashboard/summary"), ask("/api/v1/applications")]);
    place("node").textContent = summary.node_id;
    place("version").textContent = summary.version;
    place("applications-total").textContent = String(summary.total_applications);
    const actors = Object.values(summary.actors_by_type).reduce((sum, count) => sum + count, 0);
    place("actors-total").textContent = String(actors);
    showApplications(list.applications);
    showHealth("serving", true);
  } catch (error) {
    showHealth(error.message, false);
  }
}

place("deploy-url").textContent = location.origin + "/api/v1/applications/deploy";
refresh();
setInterval(() => document.hidden || refresh(), 5000);
