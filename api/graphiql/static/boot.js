// Starts GraphiQL against the URL that served the page, so it works behind any prefix.
"use strict";

const files = new URL(".", document.currentScript.src);
const TABS = [
  { query: "create-task.graphql", variables: "create-task.json" },
  { query: "tasks.graphql" },
  { query: "notifications.graphql" },
  { query: "task-events.graphql" },
  { query: "create-schedule.graphql", variables: "create-schedule.json" },
  { query: "task-activity.graphql", variables: "task-activity.json" },
];

async function readFile(name) {
  const response = await fetch(new URL(name, files));
  if (!response.ok) throw new Error(`${name}: ${response.status}`);
  return response.text();
}

async function readTab({ query, variables }) {
  return { query: await readFile(query), variables: variables && (await readFile(variables)) };
}

// A tab of the page has to work whenever it is run, so its instant is given relative to that moment.
function resolveInstant(name, value) {
  const seconds = name === "scheduledAt" && /^now\+(\d{1,6})s$/.exec(value)?.[1];
  return seconds ? new Date(Date.now() + seconds * 1000).toISOString() : value;
}

function createFetcher() {
  const endpoint = new URL(location.href);
  endpoint.search = endpoint.hash = "";
  const send = GraphiQL.createFetcher({
    url: endpoint.href,
    subscriptionUrl: endpoint.href.replace(/^http/, "ws"),
    headers: { accept: "application/json" },
    enableIncrementalDelivery: false,
  });
  return ({ variables, ...operation }, options) =>
    send({ ...operation, variables: variables && JSON.parse(JSON.stringify(variables), resolveInstant) }, options);
}

// GraphiQL opens with the query and variables it has stored, not with those of the first tab.
function rememberAsOpen(tab, storage) {
  storage.setItem("graphiql:query", tab.query);
  storage.setItem("graphiql:variables", tab.variables);
}

async function start() {
  const defaultTabs = await Promise.all(TABS.map(readTab));
  const storage = GraphiQL.createLocalStorage({ namespace: `carillon:${location.pathname}` });
  if (storage.length === 0) rememberAsOpen(defaultTabs[0], storage);
  const props = { fetcher: createFetcher(), defaultTabs, storage, defaultEditorToolsVisibility: "variables" };
  ReactDOM.createRoot(document.getElementById("graphiql")).render(React.createElement(GraphiQL, props));
}

start();
