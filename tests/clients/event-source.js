// An EventSource connects again by itself when its stream has ended, and says what it heard last.
import { EventSource } from 'eventsource';

const [url] = process.argv.slice(2);
const heard = [];
const lastEventIds = [];
const address = new URL(url);
address.searchParams.set('query', 'subscription { steps(to: 2) { number } }');

const source = new EventSource(address, {
  fetch(input, init) {
    // As browsers do for pages of the same origin.
    const headers = { ...init.headers, 'sec-fetch-site': 'same-origin' };
    lastEventIds.push(init.headers['Last-Event-ID'] ?? null);
    return fetch(input, { ...init, headers });
  },
});
source.addEventListener('next', ({ data }) => heard.push(JSON.parse(data).data.steps.number));
source.addEventListener('complete', () => {
  if (lastEventIds.length < 2) return;
  source.close();
  console.log(JSON.stringify({ heard, lastEventIds }));
});
