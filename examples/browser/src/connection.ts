// One urql client on two transports: changes are posted, and everything that is read goes over one websocket.
import { persistedExchange } from '@urql/exchange-persisted';
import { createClient as createSocket, type Client as Socket, type SubscribePayload } from 'graphql-ws';
import { Client, fetchExchange, mapExchange, subscriptionExchange, type SubscriptionForwarder } from 'urql';

export type Credentials = { address: string; token: string };

export type Events = {
  /** Streams begin: at first, and after each interruption. What is only told live may have been missed before. */
  begun(): void;
  interrupted(): void;
  /** The token is not good, or not any more. */
  refused(): void;
};

export type Connection = { client: Client; close(): void };

declare const process: { env: { NODE_ENV: string } }; // esbuild puts the value in its place

const FORBIDDEN = 4403;
const LONGEST_WAIT = 30_000; // milliseconds between two attempts to connect

export function connect({ address, token }: Credentials, on: Events): Connection {
  const url = `${address.replace(/\/+$/, '')}/graphql`;
  const authorization = `Bearer ${token}`;
  const socket = createSocket({
    url: url.replace(/^http/, 'ws'),
    connectionParams: { authorization }, // a browser's websocket has no headers of ours
    retryAttempts: Infinity,
    retryWait: (retries) => wait(Math.random() * Math.min(1000 * 2 ** retries, LONGEST_WAIT)),
    shouldRetry: (fault) => !(fault instanceof Error), // whatever happened to the connection; no fault of ours
    keepAlive: 10_000,
    on: {
      connected: on.begun,
      closed(event) {
        on.interrupted();
        if ((event as CloseEvent).code === FORBIDDEN) on.refused();
      },
    },
  });
  const client = new Client({
    url,
    fetchOptions: { headers: { authorization } },
    preferGetMethod: false,
    exchanges: [
      mapExchange({ onError: (error) => error.response?.status === 401 && on.refused() }),
      ...(process.env.NODE_ENV === 'production' ? [named] : []), // while it is developed, texts are sent
      // The socket answers in order: what is read behind a subscription lacks nothing that came before it began.
      subscriptionExchange({
        isSubscriptionOperation: ({ kind }) => kind !== 'mutation',
        forwardSubscription: (body) => ({ subscribe: (sink) => follow(socket, body, sink, on.begun) }),
      }),
      fetchExchange,
    ],
  });
  return { client, close: () => void socket.dispose() };
}

/** Documents are named by the hashes they were published under, and their texts are never sent. */
const named = persistedExchange({
  enforcePersistedQueries: true,
  enableForMutation: true,
  enableForSubscriptions: true,
  generateHash: async (_, document) => published(document).__meta__.hash.replace('sha256:', ''),
});

const wait = (milliseconds: number) => new Promise<void>((done) => setTimeout(done, milliseconds));

/** As the client preset of GraphQL Codegen makes them. */
const published = (document: unknown) => document as { __meta__: { hash: string } };

type Body = Parameters<SubscriptionForwarder>[0];
type Sink = Parameters<ReturnType<SubscriptionForwarder>['subscribe']>[0];

/**
 * One operation on the socket. Its variables are sent anew whenever the socket connects again, so `after` is kept at
 * the last notification told, and the stream goes on from there. A reader that fell behind is ended with RESYNC.
 */
function follow(socket: Socket, body: Body, sink: Sink, begun: () => void) {
  const variables = { ...(body.variables as Record<string, unknown>) };
  let stop: () => void;
  const begin = () => {
    let behind = false;
    stop = socket.subscribe({ ...body, query: body.query ?? '', variables } as SubscribePayload, {
      next(result) {
        behind = result.errors?.some(({ extensions }) => extensions?.['code'] === 'RESYNC') ?? false;
        const { cursor } = (result.extensions ?? {}) as { cursor?: string };
        if (cursor) variables['after'] = cursor;
        if (!behind) sink.next(result as Parameters<Sink['next']>[0]);
      },
      error: (fault) => sink.error(fault),
      complete() {
        if (!behind) return sink.complete();
        begin();
        begun();
      },
    });
  };
  begin();
  return { unsubscribe: () => stop() };
}
