// The tasks as they are now: what was read, and what was told of them since.
import { useEffect, useMemo } from 'react';
import { useQuery, useSubscription } from 'urql';

import { graphql } from './gql';
import type { ChangesSubscription, TaskFieldsFragment } from './gql/graphql';

export type Task = TaskFieldsFragment;
export type Change = ChangesSubscription['taskEvents'];

const SHOWN = 50;
const CHANGES_SHOWN = 12;

graphql(`
  fragment TaskFields on Task {
    id
    version
    title
    state
    scheduledAt
    attempt
    maxAttempts
    createdAt
    action {
      kind
      run {
        handler
      }
    }
    result
    error {
      message
    }
  }
`);

const Changes = graphql(`
  subscription Changes {
    taskEvents {
      id
      kind
      at
      state
      task {
        ...TaskFields
      }
    }
  }
`);

const Tasks = graphql(`
  query Tasks($first: Int!) {
    tasks(first: $first, orderBy: CREATED_AT_DESC) {
      nodes {
        ...TaskFields
      }
    }
  }
`);

/** Live, and read again whenever the stream was interrupted: it does not tell what it missed. */
export function useTasks(beginnings: number) {
  const [{ data: live = NOTHING, ...following }] = useSubscription({ query: Changes }, keep);
  const [{ data, ...reading }, readAgain] = useQuery({ query: Tasks, variables: { first: SHOWN } });
  useEffect(() => {
    if (beginnings > 1 || live.deletions > 0) readAgain({ requestPolicy: 'network-only' });
  }, [beginnings, live.deletions]);

  const tasks = useMemo(() => newest([...(data?.tasks.nodes ?? []), ...live.tasks]), [data, live]);
  return { tasks, changes: live.changes, reading: !data, error: reading.error ?? following.error };
}

type Live = { changes: Change[]; tasks: Task[]; deletions: number };

const NOTHING: Live = { changes: [], tasks: [], deletions: 0 };

/** An event may come twice, with the same id. That of a deletion has no task any more: what was kept may be it. */
function keep(live: Live = NOTHING, { taskEvents: change }: ChangesSubscription): Live {
  if (live.changes.some(({ id }) => id === change.id)) return live;
  const deleted = change.kind === 'DELETED';
  return {
    changes: [change, ...live.changes].slice(0, CHANGES_SHOWN),
    tasks: deleted ? [] : newest([...live.tasks, ...(change.task ? [change.task] : [])]),
    deletions: live.deletions + Number(deleted),
  };
}

/** Each task at its highest version, whichever way it came; the one made last first. */
function newest(seen: Task[]): Task[] {
  const tasks = new Map<string, Task>();
  for (const task of seen) {
    if (task.version >= (tasks.get(task.id)?.version ?? 0)) tasks.set(task.id, task);
  }
  return [...tasks.values()].sort((one, other) => other.createdAt.localeCompare(one.createdAt)).slice(0, SHOWN);
}
