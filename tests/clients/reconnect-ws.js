// Follows a subscription that a server cuts off, until the next server has told something too.
import { createClient } from 'graphql-ws';
import WebSocket from 'ws';

const [url] = process.argv.slice(2);
const heard = [];
let connected = 0;
const client = createClient({
  url: url.replace('http', 'ws'),
  webSocketImpl: WebSocket,
  retryAttempts: 1000,
  shouldRetry: () => true, // also when nobody listens for a moment
  retryWait: () => new Promise((resolve) => setTimeout(resolve, 20)),
  on: { connected: () => connected++ },
});
client.subscribe(
  { query: 'subscription { hang }' },
  {
    async next({ data }) {
      heard.push(data.hang);
      if (heard.length < 2) return;
      console.log(JSON.stringify({ heard, connected }));
      await client.dispose();
    },
    error(error) {
      console.error('given up:', error);
      process.exit(1);
    },
    complete() {},
  },
);
