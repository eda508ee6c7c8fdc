// What urql makes of each kind of operation, with subscriptions over the same fetch.
import { cacheExchange, createClient, fetchExchange } from '@urql/core';

const [url] = process.argv.slice(2);
const client = createClient({
  url,
  preferGetMethod: false,
  exchanges: [cacheExchange, fetchExchange],
  fetchSubscriptions: true,
});

const query = await client.query('{ hello }', {}).toPromise();
const mutation = await client.mutation('mutation { double(number: 2) }', {}).toPromise();
const invalid = await client.query('{ nothing }', {}).toPromise();
const subscription = await new Promise((resolve, reject) => {
  const heard = [];
  client.subscription('subscription { count(to: 2) }', {}).subscribe(({ data, error }) => {
    if (error) reject(error);
    heard.push(data);
    if (heard.length === 2) resolve(heard);
  });
});

const said = {
  query: { data: query.data, error: query.error?.message },
  mutation: { data: mutation.data, error: mutation.error?.message },
  invalid: invalid.error.graphQLErrors[0]?.extensions.code,
  subscription,
};
console.log(JSON.stringify(said));
process.exit(0);
