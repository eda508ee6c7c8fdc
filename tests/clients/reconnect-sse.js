// Follows a subscription that a server cuts off, until the next server has told something too.
import { createClient } from 'graphql-sse';

const [url] = process.argv.slice(2);
const heard = [];
let connected = 0;
const client = createClient({
  url,
  retryAttempts: 1000,
  retry: () => new Promise((resolve) => setTimeout(resolve, 20)),
  on: { connected: () => connected++ },
});
client.subscribe(
  { query: 'subscription { hang }' },
  {
    next({ data }) {
      heard.push(data.hang);
      if (heard.length < 2) return;
      console.log(JSON.stringify({ heard, connected }));
      client.dispose();
    },
    error(error) {
      console.error('given up:', error);
      process.exit(1);
    },
    complete() {},
  },
);
