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
  { query: "published.graphql", variables: "published.json" },
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

// A comment in the text may name a published document: then its id is sent, and the text is not.
function namingDocument({ query, ...operation }) {
  const documentId = /^[ \t]*#[ \t]*documentId:[ \t]*(\S+)[ \t]*$/m.exec(query)?.[1];
  if (!documentId) return { query, ...operation };
  // Not enumerable: the client for subscriptions looks whether there is a text, and JSON leaves it out.
  return Object.defineProperty({ documentId, ...operation }, "query", { value: query });
}

// The token that the page was asked for with goes along, unless the tab has another. It is in no tab: those are stored.
function withToken(headers = {}) {
  const authorization = window.carillonAuthorization;
  const given = Object.keys(headers).some((name) => name.toLowerCase() === "authorization");
  return authorization && !given ? { ...headers, authorization } : headers;
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
  return ({ variables, ...operation }, options) => {
    const resolved = variables && JSON.parse(JSON.stringify(variables), resolveInstant);
    return send(namingDocument({ ...operation, variables: resolved }), { ...options, headers: withToken(options?.headers) });
  };
}

// Headers may hold a credential: the history forgets them unless the reader has chosen to keep headers.
function createStorage() {
  const storage = GraphiQL.createLocalStorage({ namespace: `carillon:${location.pathname}` });
  const keepsHeaders = () => storage.getItem("graphiql:shouldPersistHeaders") === "true";
  const withoutHeaders = (name, value) => (name === "headers" ? undefined : value);
  const setItem = (key, value) => {
    const isHistory = key === "graphiql:queries" || key === "graphiql:favorites";
    const kept = isHistory && !keepsHeaders() ? JSON.stringify(JSON.parse(value), withoutHeaders) : value;
    storage.setItem(key, kept);
  };
  return Object.create(storage, { setItem: { value: setItem } });
}

// GraphiQL opens with the query and variables it has stored, not with those of the first tab.
function rememberAsOpen(tab, storage) {
  storage.setItem("graphiql:query", tab.query);
  storage.setItem("graphiql:variables", tab.variables);
}

// To those who may not see the schema GraphiQL is of use without: asking for it would be an error in the first tab.
async function tellsSchema(fetcher) {
  try {
    const answer = await fetcher({ query: "{ __schema { queryType { name } } }" }, {});
    return answer.errors?.[0].extensions?.code !== "INTROSPECTION_DISABLED";
  } catch {
    return true; // GraphiQL says what is wrong
  }
}

async function start() {
  const fetcher = createFetcher();

  const defaultTabs = await Promise.all(TABS.map(readTab));
  const storage = createStorage();
  if (storage.length === 0) rememberAsOpen(defaultTabs[0], storage);
  const props = {
    fetcher,
    schema: (await tellsSchema(fetcher)) ? undefined : null,
    storage,
    defaultTabs,
    defaultEditorToolsVisibility: "variables",
  };
  ReactDOM.createRoot(document.getElementById("graphiql")).render(React.createElement(GraphiQL, props));
}

start();
