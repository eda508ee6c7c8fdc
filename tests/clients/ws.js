// What the client of graphql-ws makes of each kind of operation, all on one socket that it pings.
import { createClient } from 'graphql-ws';
import WebSocket from 'ws';

const [url] = process.argv.slice(2);
let answered;
const pongs = new Promise((resolve) => (answered = resolve));
const client = createClient({
  url: url.replace('http', 'ws'),
  webSocketImpl: WebSocket,
  lazy: false,
  keepAlive: 50,
  retryAttempts: 0,
  on: { pong: (received) => received && answered(true) },
});

const results = (query) =>
  new Promise((resolve, reject) => {
    const heard = [];
    client.subscribe({ query }, { next: (each) => heard.push(each), error: reject, complete: () => resolve(heard) });
  });
const code = (error) => error.extensions.code;
const refusal = (query) => results(query).then(() => null, (errors) => errors.map(code));

const said = {
  subscription: await results('subscription { count(to: 2) }'),
  query: await results('{ hello }'),
  mutation: await results('mutation { double(number: 2) }'),
  syntax: await refusal('{'),
  validation: await refusal('subscription { nothing }'),
  fault: (await results('{ fault }')).flatMap(({ errors }) => errors.map(code)),
  pongs: await pongs,
};
await client.dispose();
console.log(JSON.stringify(said));
