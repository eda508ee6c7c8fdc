// What people were told: the latest that were read, then what comes, without a gap.
import { useEffect } from 'react';
import { useQuery, useSubscription } from 'urql';

import { graphql } from './gql';
import type { FollowSubscription, NotificationFieldsFragment } from './gql/graphql';

export type Notification = NotificationFieldsFragment;

const SHOWN = 30;

graphql(`
  fragment NotificationFields on Notification {
    id
    cursor
    kind
    title
    body
    createdAt
  }
`);

const Follow = graphql(`
  subscription Follow($after: Cursor) {
    notifications(after: $after) {
      ...NotificationFields
    }
  }
`);

const Latest = graphql(`
  query Latest($last: Int!) {
    notifications(last: $last) {
      nodes {
        ...NotificationFields
      }
      pageInfo {
        endCursor
      }
    }
  }
`);

/** The latest first. */
export function useNotifications(beginnings: number) {
  const [{ data, error: unread }, readAgain] = useQuery({ query: Latest, variables: { last: SHOWN } });
  const after = data?.notifications.pageInfo.endCursor ?? null;
  const [{ data: told = [], error: lost }] = useSubscription({ query: Follow, variables: { after }, pause: !data }, keep);

  // Where nobody was ever told anything there is no cursor to go on from: read again, behind the subscription.
  const unanchored = data !== undefined && after === null && told.length === 0;
  const expired = lost?.graphQLErrors.some(({ extensions }) => extensions['code'] === 'CURSOR_EXPIRED') ?? false;
  useEffect(() => {
    if (unanchored || expired) readAgain({ requestPolicy: 'network-only' });
  }, [unanchored, expired, beginnings]);

  const seen = new Map([...(data?.notifications.nodes ?? []), ...told].map((one) => [one.id, one]));
  return { notifications: [...seen.values()].reverse().slice(0, SHOWN), error: unread ?? (expired ? undefined : lost) };
}

function keep(told: Notification[] = [], { notifications: one }: FollowSubscription): Notification[] {
  return [...told, one].slice(-SHOWN);
}
