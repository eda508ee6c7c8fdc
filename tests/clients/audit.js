// Every audit of graphql-http, on the server at the address given; says what each found.
import { auditServer } from 'graphql-http';

const [url] = process.argv.slice(2);

// As for other servers that guard against forged requests: a GET says that it was not made by another page.
const fetchFn = (input, init = {}) =>
  fetch(input, { ...init, headers: { ...init.headers, 'graphql-require-preflight': '1' } });

const results = await auditServer({ url, fetchFn });
console.log(JSON.stringify(results.map(({ id, name, status, reason }) => ({ id, name, status, reason }))));
