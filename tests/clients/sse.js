// What the client of graphql-sse makes of each kind of operation.
import { createClient } from 'graphql-sse';

const [url] = process.argv.slice(2);
const client = createClient({ url, retryAttempts: 0 });

const results = (query) =>
  new Promise((resolve, reject) => {
    const heard = [];
    client.subscribe({ query }, { next: (each) => heard.push(each), error: reject, complete: () => resolve(heard) });
  });
const codes = async (query) => (await results(query)).flatMap((each) => each.errors.map((e) => e.extensions.code));

const said = {
  subscription: await results('subscription { count(to: 2) }'),
  query: await results('{ hello }'),
  mutation: await results('mutation { double(number: 2) }'),
  syntax: await codes('{'),
  validation: await codes('subscription { nothing }'),
};
client.dispose();
console.log(JSON.stringify(said));
